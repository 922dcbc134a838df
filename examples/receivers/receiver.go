// A receiver of webhooks in Go; README.md beside it says what it does.  It needs nothing but the standard library.
//
//	WEBHOOK_SECRET=whsec_... go run receiver.go [port [inbox]]
package main

import (
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
	"time"
)

const bodyBytesMax = 2_000_000

var (
	key     []byte
	inbox   = "inbox"
	work    = make(chan string, 1000)
	isEvent = regexp.MustCompile(`^[A-Za-z0-9_-]{1,100}$`).MatchString
)

// While a secret is being replaced there are two signatures; one that fits is enough.
func isGenuine(event, timestamp, signatures string, body []byte) bool {
	seconds, err := strconv.ParseInt(timestamp, 10, 64)
	if age := time.Since(time.Unix(seconds, 0)); err != nil || age > 5*time.Minute || age < -5*time.Minute {
		return false
	}
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(event + "." + timestamp + "."))
	mac.Write(body)
	wanted := []byte("v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	for _, one := range strings.Split(signatures, " ") {
		if hmac.Equal([]byte(one), wanted) {
			return true
		}
	}
	return false
}

// False if it is there already.  It is on disk, whole, before it has its name.
func store(event string, body []byte) (bool, error) {
	part, err := os.CreateTemp(inbox, event+".*.part")
	if err != nil {
		return false, err
	}
	defer os.Remove(part.Name())
	_, err = part.Write(body)
	if err == nil {
		err = part.Sync()
	}
	if closed := part.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = os.Link(part.Name(), filepath.Join(inbox, event))
	}
	if errors.Is(err, fs.ErrExist) {
		return false, nil
	}
	return err == nil, err
}

// Your work.  It may be called again for the event in whose middle the process ended.
func handle(event string) error {
	body, err := os.ReadFile(filepath.Join(inbox, event))
	if err != nil {
		return err
	}
	var envelope struct{ Event struct{ Type string } }
	if err = json.Unmarshal(body, &envelope); err == nil {
		fmt.Println("handled", envelope.Event.Type, event)
	}
	return err
}

func receive(writer http.ResponseWriter, request *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(writer, request.Body, bodyBytesMax))
	if err != nil {
		writer.WriteHeader(http.StatusRequestEntityTooLarge)
		return
	}
	event := request.Header.Get("webhook-id")
	if !isEvent(event) || !isGenuine(event, request.Header.Get("webhook-timestamp"), request.Header.Get("webhook-signature"), body) {
		fmt.Println("refused")
		writer.WriteHeader(http.StatusUnauthorized)
		return
	}
	isNew, err := store(event, body)
	switch {
	case err != nil:
		log.Print(err)
		writer.WriteHeader(http.StatusInternalServerError) // It comes again.
		return
	case isNew:
		go func() { work <- event }()
	default:
		fmt.Println("again", event)
	}
	writer.WriteHeader(http.StatusNoContent)
}

func workOn() {
	for event := range work {
		if err := handle(event); err != nil {
			log.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(inbox, event+".done"), nil, 0o644); err != nil {
			log.Fatal(err)
		}
	}
}

func main() {
	port, secret := "8000", os.Getenv("WEBHOOK_SECRET")
	if len(os.Args) > 1 {
		port = os.Args[1]
	}
	if len(os.Args) > 2 {
		inbox = os.Args[2]
	}
	key = []byte(secret)
	if strings.HasPrefix(secret, "whsec_") {
		var err error
		if key, err = base64.StdEncoding.DecodeString(secret[6:]); err != nil {
			log.Fatal("WEBHOOK_SECRET: ", err)
		}
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
		if isEvent(one.Name()) && errors.Is(err, fs.ErrNotExist) {
			work <- one.Name()
		}
	}
	fmt.Printf("listening at http://%s/\n", listener.Addr())
	log.Fatal(http.Serve(listener, http.HandlerFunc(receive)))
}
