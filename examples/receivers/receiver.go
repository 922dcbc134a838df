// A receiver of webhooks in Go; README.md beside it says what it does.  It needs nothing but the standard library.
//
//	WEBHOOK_SECRET=whsec_... go run receiver.go [port [inbox]]
package main

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	bodyBytesMax = 2_000_000 // more than the "bytes" of your batches, and than the largest event
	ageMax       = 5 * time.Minute
)

type event struct{ id, kind, text string }

var (
	secret    = os.Getenv("WEBHOOK_SECRET")
	key       = []byte(secret)
	inbox     = "inbox"
	isID      = regexp.MustCompile(`^[A-Za-z0-9_-]{1,100}$`).MatchString
	isEventID = regexp.MustCompile(`^[0-9a-f]{32}$`).MatchString
	// For another signature or format, kinds.go puts others in their place.
	isGenuine = isStandard
	events    = eventsOfEnvelopes
)

// What waits for work, in order and of any length: no answer waits for it.
var (
	lock    sync.Mutex
	waiting []string
	come    = sync.NewCond(&lock)
)

func queue(id string) {
	lock.Lock()
	defer lock.Unlock()
	waiting = append(waiting, id)
	come.Signal()
}

func next() string {
	lock.Lock()
	defer lock.Unlock()
	for len(waiting) == 0 {
		come.Wait()
	}
	id := waiting[0]
	waiting = waiting[1:]
	return id
}

func isRecent(timestamp string) bool {
	seconds, err := strconv.ParseInt(timestamp, 10, 64)
	age := time.Since(time.Unix(seconds, 0))
	return err == nil && age <= ageMax && age >= -ageMax
}

// While a secret is being replaced there are two signatures; one that fits is enough.
func isStandard(header http.Header, body []byte) bool {
	request, timestamp := header.Get("webhook-id"), header.Get("webhook-timestamp")
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(request + "." + timestamp + "."))
	mac.Write(body)
	wanted := []byte("v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	for _, one := range strings.Split(header.Get("webhook-signature"), " ") {
		if hmac.Equal([]byte(one), wanted) {
			return isRecent(timestamp)
		}
	}
	return false
}

// Of an array, of lines, or of the one value that came alone: each as it came.
func members(body []byte) ([]json.RawMessage, error) {
	var found []json.RawMessage
	if bytes.HasPrefix(body, []byte("[")) {
		err := json.Unmarshal(body, &found)
		return found, err
	}
	decoder := json.NewDecoder(bytes.NewReader(body))
	for {
		var one json.RawMessage
		if err := decoder.Decode(&one); err == io.EOF {
			return found, nil
		} else if err != nil {
			return nil, err
		}
		found = append(found, one)
	}
}

// A batch is told by its body, which is signed: X-Whisperer-Batch is not.
func eventsOfEnvelopes(_ http.Header, body []byte) ([]event, error) {
	all, err := members(body)
	if err != nil {
		return nil, err
	}
	var came []event
	for _, text := range all {
		var envelope struct{ Event struct{ UUID, Type string } }
		if err := json.Unmarshal(text, &envelope); err != nil {
			return nil, err
		}
		came = append(came, event{envelope.Event.UUID, envelope.Event.Type, string(text)})
	}
	return came, nil
}

// False if it is there already.  It is on disk, whole, before it has its name.
func store(one event) (bool, error) {
	part, err := os.CreateTemp(inbox, one.id+".*.part")
	if err != nil {
		return false, err
	}
	defer os.Remove(part.Name())
	_, err = part.WriteString(one.kind + "\n" + one.text)
	if err == nil {
		err = part.Sync()
	}
	if closed := part.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = os.Link(part.Name(), filepath.Join(inbox, one.id))
	}
	if errors.Is(err, fs.ErrExist) {
		return false, nil
	}
	return err == nil, err
}

func syncNames() error {
	folder, err := os.Open(inbox)
	if err != nil {
		return err
	}
	defer folder.Close()
	return folder.Sync()
}

// Your work.  It may be called again for the event in whose middle the process ended.
func handle(one event) error {
	if !json.Valid([]byte(one.text)) {
		return fmt.Errorf("%s is no JSON", one.id)
	}
	fmt.Println("handled", one.kind, one.id)
	return nil
}

// What it has stored is worked on, and returns the ids of the others.
func take(came []event) (failed []string, err error) {
	for _, one := range came {
		isNew, err := store(one)
		switch {
		case err != nil:
			fmt.Println("failed", one.id, err)
			failed = append(failed, one.id)
		case isNew:
			queue(one.id)
		default:
			fmt.Println("again", one.id)
		}
	}
	return failed, syncNames()
}

func receive(writer http.ResponseWriter, request *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(writer, request.Body, bodyBytesMax))
	if err != nil {
		writer.WriteHeader(http.StatusRequestEntityTooLarge)
		return
	}
	if !isGenuine(request.Header, body) {
		fmt.Println("refused")
		writer.WriteHeader(http.StatusUnauthorized)
		return
	}
	came, err := events(request.Header, body)
	for _, one := range came {
		if !isID(one.id) {
			err = errors.New("an event without an id")
		}
	}
	if err != nil {
		writer.WriteHeader(http.StatusBadRequest) // Signed, and not what this is for: another format, perhaps.
		return
	}
	failed, err := take(came)
	canBeNamed := len(failed) < len(came)
	for _, id := range failed {
		canBeNamed = canBeNamed && isEventID(id)
	}
	switch {
	case err == nil && len(failed) == 0:
		writer.WriteHeader(http.StatusNoContent)
	case err == nil && canBeNamed: // Those alone come again.
		json.NewEncoder(writer).Encode(map[string][]string{"failed": failed})
	default: // What has no id of its own cannot be named, so all of its batch must come again.
		writer.WriteHeader(http.StatusInternalServerError)
	}
}

// One that fails is tried again at the next start, and keeps no other.
func workOn() {
	for {
		id := next()
		text, err := os.ReadFile(filepath.Join(inbox, id))
		if err == nil {
			kind, rest, _ := strings.Cut(string(text), "\n")
			err = handle(event{id, kind, rest})
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(inbox, id+".done"), nil, 0o644)
		}
		if err != nil {
			log.Print(err)
		}
	}
}

func main() {
	port := "8000"
	if len(os.Args) > 1 {
		port = os.Args[1]
	}
	if len(os.Args) > 2 {
		inbox = os.Args[2]
	}
	if strings.HasPrefix(secret, "whsec_") {
		var err error
		if key, err = base64.StdEncoding.DecodeString(secret[6:]); err != nil {
			log.Fatal("WEBHOOK_SECRET: ", err)
		}
	}
	if len(key) == 0 {
		log.Fatal("WEBHOOK_SECRET is missing") // With an empty key everybody could sign.
	}
	if err := os.MkdirAll(inbox, 0o700); err != nil {
		log.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:"+port)
	if err != nil {
		log.Fatal(err)
	}
	go workOn()
	left, _ := os.ReadDir(inbox)
	for _, one := range left {
		_, err := os.Stat(filepath.Join(inbox, one.Name()+".done"))
		if isID(one.Name()) && errors.Is(err, fs.ErrNotExist) {
			queue(one.Name())
		}
	}
	fmt.Printf("listening at http://%s/\n", listener.Addr())
	server := http.Server{Handler: http.HandlerFunc(receive), ReadTimeout: 30 * time.Second} // for who sends slowly, or nothing
	log.Fatal(server.Serve(listener))
}
