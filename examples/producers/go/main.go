// Sends charging sessions to Carbonflow: NDJSON on standard input, a session a line in the fields of
// the Avro schema whose file is the only argument. It ends with 0 when the broker has acknowledged
// all of them, and with 1 at the first line that is no session.
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/twmb/avro"
	"github.com/twmb/franz-go/pkg/kgo"
)

// The id of charging_session.v1 in schemas/catalogue.json: no registry is needed to know it.
const catalogueID = 1

const lineBytesMax = 1 << 20

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: producer SCHEMA < sessions.ndjson")
		os.Exit(2)
	}
	acknowledged, err := run(os.Args[1])
	fmt.Printf("%d records acknowledged\n", acknowledged)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(path string) (int64, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	schema, err := avro.Parse(string(text))
	if err != nil {
		return 0, err
	}
	topic := os.Getenv("CARBONFLOW_PREFIX") + "charging-sessions"
	id, err := schemaID(topic, string(text))
	if err != nil {
		return 0, err
	}
	client, err := kgo.NewClient(
		kgo.SeedBrokers(strings.Split(env("CARBONFLOW_BOOTSTRAP", "127.0.0.1:9092"), ",")...),
		kgo.DefaultProduceTopic(topic),
		kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)), // murmur2, as the Java client has it
		kgo.RequiredAcks(kgo.AllISRAcks()),                   // and idempotent, which is the default
		kgo.RecordDeliveryTimeout(2*time.Minute),
	)
	if err != nil {
		return 0, err
	}
	defer client.Close()

	var acknowledged atomic.Int64
	ctx, stop := context.WithCancelCause(context.Background())
	defer stop(nil)
	delivered := func(_ *kgo.Record, err error) {
		if err != nil {
			stop(fmt.Errorf("not delivered: %w", err)) // Only the first one counts.
			return
		}
		acknowledged.Add(1)
	}
	err = send(ctx, client, schema, id, delivered)
	if flushed := client.Flush(context.Background()); err == nil {
		err = flushed
	}
	if err == nil {
		err = context.Cause(ctx)
	}
	return acknowledged.Load(), err
}

// send hands lines to the client, which blocks while too many wait for the broker, until one of them
// could not be delivered.
func send(ctx context.Context, client *kgo.Client, schema *avro.Schema, id uint32, delivered func(*kgo.Record, error)) error {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, lineBytesMax)
	for number := 1; ctx.Err() == nil && lines.Scan(); number++ {
		record, err := recordOf(schema, id, lines.Bytes())
		if err != nil {
			return fmt.Errorf("line %d: %w", number, err)
		}
		client.Produce(context.Background(), record, delivered)
	}
	return lines.Err()
}

// recordOf returns a session as a message: its account is the key; the value is a zero byte, the
// schema's id in four bytes, and the session in Avro's binary encoding.
func recordOf(schema *avro.Schema, id uint32, line []byte) (*kgo.Record, error) {
	var named map[string]json.RawMessage
	if err := json.Unmarshal(line, &named); err != nil {
		return nil, err
	}
	for _, field := range schema.Root().Fields {
		delete(named, field.Name)
	}
	for name := range named {
		return nil, fmt.Errorf("a session has no field %q", name)
	}
	var session map[string]any
	if err := schema.DecodeJSON(line, &session); err != nil {
		return nil, err
	}
	value, err := schema.AppendEncode(binary.BigEndian.AppendUint32([]byte{0}, id), session)
	if err != nil {
		return nil, err
	}
	return &kgo.Record{Key: []byte(session["account_id"].(string)), Value: value}, nil
}

// schemaID returns the id of the schema: the registry's where there is one.
func schemaID(topic, text string) (uint32, error) {
	registry := os.Getenv("CARBONFLOW_SCHEMA_REGISTRY_URL")
	if registry == "" {
		return catalogueID, nil
	}
	url := strings.TrimRight(registry, "/") + "/subjects/" + topic + "-value"
	body, err := json.Marshal(map[string]string{"schema": text})
	if err != nil {
		return 0, err
	}
	client := http.Client{Timeout: 10 * time.Second}
	answer, err := client.Post(url, "application/vnd.schemaregistry.v1+json", bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	defer answer.Body.Close()
	var found struct {
		ID      *uint32 `json:"id"`
		Message string  `json:"message"`
	}
	if err := json.NewDecoder(answer.Body).Decode(&found); err != nil {
		return 0, fmt.Errorf("the registry answers %s: %w", answer.Status, err)
	}
	if answer.StatusCode != http.StatusOK || found.ID == nil {
		return 0, fmt.Errorf("the registry answers %s: %s", answer.Status, found.Message)
	}
	return *found.ID, nil
}

func env(name, otherwise string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return otherwise
}
