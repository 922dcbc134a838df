// What a receiver does to verify a request, in four languages, beside the secret when it is shown.  The tests run them as
// they stand here.  Each reads the secret from the environment, for it must not be pasted into code.

const python = `import base64, hashlib, hmac, os, time

def is_genuine(headers, body):  # body: bytes, as they came
    secret = os.environ["WEBHOOK_SECRET"]
    key = base64.b64decode(secret[6:]) if secret.startswith("whsec_") else secret.encode()
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    wanted = "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    fresh = abs(time.time() - int(headers["webhook-timestamp"])) < 300
    return fresh and any(hmac.compare_digest(one, wanted) for one in headers["webhook-signature"].split(" "))
`;

const node = `import { createHmac, timingSafeEqual } from "node:crypto";

export function isGenuine(headers, body) { // body: a Buffer, as it came
    const secret = process.env.WEBHOOK_SECRET;
    const key = secret.startsWith("whsec_") ? Buffer.from(secret.slice(6), "base64") : Buffer.from(secret);
    const signed = Buffer.concat([Buffer.from(\`\${headers["webhook-id"]}.\${headers["webhook-timestamp"]}.\`), body]);
    const wanted = Buffer.from("v1," + createHmac("sha256", key).update(signed).digest("base64"));
    const fresh = Math.abs(Date.now() / 1000 - Number(headers["webhook-timestamp"])) < 300;
    return fresh && headers["webhook-signature"].split(" ").map((one) => Buffer.from(one))
        .some((one) => one.length === wanted.length && timingSafeEqual(one, wanted));
}
`;

const java = `import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.util.Base64;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;

class Webhook {
    static boolean isGenuine(String id, String timestamp, String signatures, byte[] body) throws Exception {
        String secret = System.getenv("WEBHOOK_SECRET");
        byte[] key = secret.startsWith("whsec_") ? Base64.getDecoder().decode(secret.substring(6)) : secret.getBytes(StandardCharsets.UTF_8);
        Mac mac = Mac.getInstance("HmacSHA256");
        mac.init(new SecretKeySpec(key, "HmacSHA256"));
        mac.update((id + "." + timestamp + ".").getBytes(StandardCharsets.UTF_8));
        byte[] wanted = ("v1," + Base64.getEncoder().encodeToString(mac.doFinal(body))).getBytes(StandardCharsets.UTF_8);
        boolean fits = false;
        for (String one : signatures.split(" ")) fits |= MessageDigest.isEqual(wanted, one.getBytes(StandardCharsets.UTF_8));
        return fits && Math.abs(System.currentTimeMillis() / 1000 - Long.parseLong(timestamp)) < 300;
    }
}
`;

const perl = `use Digest::SHA qw(hmac_sha256);
use MIME::Base64 qw(decode_base64 encode_base64);

sub is_genuine {    # body: bytes, as they came
    my ($headers, $body) = @_;
    my $secret = $ENV{WEBHOOK_SECRET};
    my $key    = $secret =~ /^whsec_(.*)/ ? decode_base64($1) : $secret;
    my $signed = "$headers->{'webhook-id'}.$headers->{'webhook-timestamp'}.$body";
    my $wanted = 'v1,' . encode_base64(hmac_sha256($signed, $key), '');
    # Compared as MACs of a key of the moment, so that the time tells nothing.
    my $blind  = join '', map { chr int rand 256 } 1 .. 32;
    my $fits   = grep { hmac_sha256($_, $blind) eq hmac_sha256($wanted, $blind) } split / /, $headers->{'webhook-signature'};
    return $fits && abs(time - $headers->{'webhook-timestamp'}) < 300;
}
`;

export const verify_snippets = { Python: python, 'Node.js': node, Java: java, Perl: perl };
