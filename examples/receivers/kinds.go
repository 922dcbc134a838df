// The receiver for hooks with another format or signature; README.md beside it lists them.
//
//	WEBHOOK_SECRET=... WEBHOOK_FORMAT=cloudevents WEBHOOK_SIGNATURE=github go run receiver.go kinds.go [port [inbox]]
//
// What your hook has is said here and not taken from the request: a header that no signature covers is anybody's word.
package main

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
)

var format = os.Getenv("WEBHOOK_FORMAT")

func init() {
	if format != "" && format != "whisperer" {
		events = eventsOfFormat
	}
	switch signature := os.Getenv("WEBHOOK_SIGNATURE"); signature {
	case "", "standard":
	case "ed25519":
		isGenuine = isEd25519
	default:
		isGenuine = func(header http.Header, body []byte) bool { return isSigned(signature, header, body) }
	}
}

// What has no id of its own has that of its request.
func eventsOfFormat(header http.Header, body []byte) ([]event, error) {
	here, kind := header.Get("webhook-id"), header.Get("X-Whisperer-Event")
	switch format {
	case "data":
		return []event{{here, kind, string(body)}}, nil
	case "cloudevents-binary":
		return []event{{here, header.Get("ce-type"), string(body)}}, nil
	case "form":
		pairs, err := url.ParseQuery(string(body))
		values := map[string]string{}
		for name := range pairs {
			values[name] = pairs.Get(name)
		}
		text, _ := json.Marshal(values)
		return []event{{here, kind, string(text)}}, err
	}
	all, err := members(body)
	if err != nil {
		return nil, err
	}
	var came []event
	for n, text := range all {
		one := event{here, kind, string(text)}
		if len(all) > 1 {
			one.id = fmt.Sprintf("%s-%d", here, n)
		}
		if format != "data-batch" { // Of another name, since data may be an array, too.
			var says struct{ ID, Type string }
			if err := json.Unmarshal(text, &says); err != nil {
				return nil, err
			}
			one.kind = says.Type
			if format == "cloudevents" {
				one.id = says.ID
			}
		}
		came = append(came, one)
	}
	return came, nil
}

// The secret is the hook's public key, whpk_...
func isEd25519(header http.Header, body []byte) bool {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whpk_"))
	timestamp := header.Get("webhook-timestamp")
	if err != nil || len(key) != ed25519.PublicKeySize || !isRecent(timestamp) {
		return false
	}
	signed := append([]byte(header.Get("webhook-id")+"."+timestamp+"."), body...)
	for _, one := range strings.Split(header.Get("webhook-signature"), " ") {
		signature, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(one, "v1a,"))
		if err == nil && strings.HasPrefix(one, "v1a,") && ed25519.Verify(key, signed, signature) {
			return true
		}
	}
	return false
}

// Stripe's and Slack's have a time.  The others let pass whatever was recorded once: the inbox drops it.
func isSigned(by string, header http.Header, body []byte) bool {
	made := func(before string) []byte {
		mac := hmac.New(sha256.New, []byte(secret))
		mac.Write([]byte(before))
		mac.Write(body)
		return mac.Sum(nil)
	}
	isEqual := func(name, wanted string) bool { return hmac.Equal([]byte(header.Get(name)), []byte(wanted)) }
	switch by {
	case "whisperer":
		return isEqual("X-Whisperer-Signature", "sha256="+hex.EncodeToString(made("")))
	case "github":
		return isEqual("X-Hub-Signature-256", "sha256="+hex.EncodeToString(made("")))
	case "shopify":
		return isEqual("X-Shopify-Hmac-Sha256", base64.StdEncoding.EncodeToString(made("")))
	case "slack":
		timestamp := header.Get("X-Slack-Request-Timestamp")
		return isRecent(timestamp) && isEqual("X-Slack-Signature", "v0="+hex.EncodeToString(made("v0:"+timestamp+":")))
	case "stripe": // t=...,v1=...,v1=...: two while a secret is being replaced
		timestamp, shown := "", []string{}
		for _, pair := range strings.Split(header.Get("Stripe-Signature"), ",") {
			if name, value, _ := strings.Cut(pair, "="); name == "t" {
				timestamp = value
			} else if name == "v1" {
				shown = append(shown, value)
			}
		}
		wanted := []byte(hex.EncodeToString(made(timestamp + ".")))
		for _, one := range shown {
			if hmac.Equal([]byte(one), wanted) {
				return isRecent(timestamp)
			}
		}
	}
	return false
}
