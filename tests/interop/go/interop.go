// Go's amqp091 client against the broker at AMQP_URL. Checks are printed as TAP, one line each.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

var prefix = fmt.Sprintf("interop-go-%d-", os.Getpid())

func equal(got, expected interface{}, what string) {
	ok(reflect.DeepEqual(got, expected), what, "got", got, "expected", expected)
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

// part runs one group of checks; a panic fails the group and does not keep the next from running.
func part(name string, run func()) {
	defer func() {
		if cause := recover(); cause != nil {
			ok(false, name+" runs to its end", cause)
		}
	}()
	run()
}

func connect(url string) *amqp.Connection {
	connection, err := amqp.DialConfig(url, amqp.Config{Heartbeat: 10 * time.Second, Locale: "en_US"})
	must(err)
	return connection
}

// publisher is a channel with confirms. It listens for them itself: this version of the client's own deferred confirmation
// is registered after the publish is sent, and misses a confirm that comes faster than that.
type publisher struct {
	*amqp.Channel
	confirmations chan amqp.Confirmation
}

func openPublisher(connection *amqp.Connection) publisher {
	channel := openChannel(connection)
	must(channel.Confirm(false))
	return publisher{channel, channel.NotifyPublish(make(chan amqp.Confirmation, 20000))}
}

// confirmed publishes and waits for the broker's confirm.
func (p publisher) confirmed(exchange, key string, message amqp.Publishing) bool {
	must(p.PublishWithContext(context.Background(), exchange, key, false, false, message))
	return p.acked(1) == 1
}

// acked waits for so many confirms, at most ten seconds, and gives the number that came and said yes.
func (p publisher) acked(count int) int {
	deadline := within(10)
	for came := 0; came < count; came++ {
		select {
		case confirmation := <-p.confirmations:
			if !confirmation.Ack {
				return came
			}
		case <-deadline:
			return came
		}
	}
	return count
}

func within(seconds time.Duration) <-chan time.Time { return time.After(seconds * time.Second) }

func codeOf(err error) int {
	var closed *amqp.Error
	if errors.As(err, &closed) {
		return closed.Code
	}
	return 0
}

func depth(channel *amqp.Channel, queue string) int {
	inspected, err := channel.QueueInspect(queue)
	must(err)
	return inspected.Messages
}

func publishConsumeGet() {
	connection := connect(url)
	defer connection.Close()
	channel := openPublisher(connection)
	queue, err := channel.QueueDeclare(prefix+"q", false, false, true, false, nil)
	must(err)
	sent := amqp.Publishing{
		ContentType: "text/plain", ContentEncoding: "identity", DeliveryMode: amqp.Persistent, Priority: 5, CorrelationId: "c",
		ReplyTo: "answers", Expiration: "60000", MessageId: "m", Timestamp: time.Unix(1234567890, 0), Type: "greeting", AppId: "interop",
		Headers: amqp.Table{"bool": true, "int16": int16(-2), "int32": int32(-3), "int64": int64(-1) << 40, "float32": float32(0.5),
			"float64": 0.25, "text": "grüße", "bytes": []byte{0, 1, 255}, "time": time.Unix(99, 0), "nothing": nil,
			"decimal": amqp.Decimal{Scale: 2, Value: 314}, "table": amqp.Table{"inner": "x"}, "list": []interface{}{int32(1), "two"}},
		Body: []byte("hello"),
	}
	ok(channel.confirmed("", queue.Name, sent), "publish, confirmed")
	got, some, err := channel.Get(queue.Name, false)
	must(err)
	ok(some && string(got.Body) == "hello" && !got.Redelivered && got.MessageCount == 0, "get", got)
	equal(got.Headers, sent.Headers, "get: headers of every type come back as they were sent")
	equal([]interface{}{got.ContentType, got.ContentEncoding, got.DeliveryMode, got.Priority, got.CorrelationId, got.ReplyTo,
		got.Expiration, got.MessageId, got.Timestamp.Unix(), got.Type, got.AppId},
		[]interface{}{sent.ContentType, sent.ContentEncoding, sent.DeliveryMode, sent.Priority, sent.CorrelationId, sent.ReplyTo,
			sent.Expiration, sent.MessageId, sent.Timestamp.Unix(), sent.Type, sent.AppId}, "get: every property too")
	must(got.Nack(false, true))
	got, some, err = channel.Get(queue.Name, false)
	must(err)
	ok(some && got.Redelivered, "nack with requeue: redelivered")
	must(got.Reject(false))
	_, some, err = channel.Get(queue.Name, true)
	must(err)
	ok(!some, "reject without requeue: gone")
	large := bytes.Repeat([]byte("0123456789"), 100000)
	ok(channel.confirmed("", queue.Name, amqp.Publishing{Body: large}), "a body of 1 MB, confirmed")
	got, some, err = channel.Get(queue.Name, true)
	must(err)
	ok(some && bytes.Equal(got.Body, large), "and received")

	const count = 10000
	must(channel.Qos(200, 0, false))
	deliveries, err := channel.Consume(queue.Name, "reader", false, false, false, false, nil)
	must(err)
	publisher := openPublisher(connection)
	go func() {
		for number := 0; number < count; number++ {
			publisher.PublishWithContext(context.Background(), "", queue.Name, false, false, amqp.Publishing{Body: []byte(fmt.Sprint(number))})
		}
	}()
	inOrder := 0
	deadline := within(20)
receive:
	for number := 0; number < count; number++ {
		select {
		case delivery := <-deliveries:
			if string(delivery.Body) == fmt.Sprint(number) {
				inOrder++
			}
			if number%50 == 49 {
				delivery.Ack(true)
			}
		case <-deadline:
			break receive
		}
	}
	equal(inOrder, count, "10000 deliveries in order, prefetch 200, acknowledged by fifties")
	equal(publisher.acked(count), count, "10000 confirms")
	must(channel.Cancel("reader", false))
	equal(depth(channel.Channel, queue.Name), 0, "nothing is left")
}

func exchanges() {
	connection := connect(url)
	defer connection.Close()
	channel := openPublisher(connection)
	bound := func(exchange, key string, arguments amqp.Table) string {
		queue, err := channel.QueueDeclare("", false, true, true, false, nil)
		must(err)
		must(channel.QueueBind(queue.Name, key, exchange, false, arguments))
		return queue.Name
	}
	for _, kind := range []string{"direct", "fanout", "topic", "headers"} {
		must(channel.ExchangeDeclare(prefix+kind, kind, false, false, false, false, nil))
	}
	direct, fanout, topic := bound(prefix+"direct", "a", nil), bound(prefix+"fanout", "", nil), bound(prefix+"topic", "*.b.#", nil)
	all := bound(prefix+"headers", "", amqp.Table{"x-match": "all", "a": int32(1), "b": "x"})
	any := bound(prefix+"headers", "", amqp.Table{"x-match": "any", "a": int64(1), "b": "x"})
	acked := 0
	for _, key := range []string{"a", "b", "a.b", "a.b.c.d", "a.c"} {
		for _, kind := range []string{"direct", "fanout", "topic"} {
			if channel.confirmed(prefix+kind, key, amqp.Publishing{}) {
				acked++
			}
		}
	}
	equal(acked, 15, "every publish is confirmed, routed or not")
	equal(depth(channel.Channel, direct), 1, "direct: by key")
	equal(depth(channel.Channel, fanout), 5, "fanout: to all")
	equal(depth(channel.Channel, topic), 2, "topic: by pattern")
	channel.confirmed(prefix+"headers", "", amqp.Publishing{Headers: amqp.Table{"a": int32(1), "b": "x"}})
	channel.confirmed(prefix+"headers", "", amqp.Publishing{Headers: amqp.Table{"a": int32(1)}})
	channel.confirmed(prefix+"headers", "", amqp.Publishing{Headers: amqp.Table{"b": "y"}})
	equal([]int{depth(channel.Channel, all), depth(channel.Channel, any)}, []int{1, 2}, "headers: all, any")
	must(channel.ExchangeBind(prefix+"fanout", "e2e", prefix+"direct", false, nil))
	channel.confirmed(prefix+"direct", "e2e", amqp.Publishing{})
	equal(depth(channel.Channel, fanout), 6, "exchange to exchange")

	must(channel.ExchangeDeclare(prefix+"ae", "direct", false, false, false, false, amqp.Table{"alternate-exchange": prefix + "fanout"}))
	returns := channel.NotifyReturn(make(chan amqp.Return, 1))
	must(channel.PublishWithContext(context.Background(), prefix+"ae", "nobody", true, false, amqp.Publishing{}))
	must(channel.PublishWithContext(context.Background(), prefix+"direct", "nobody", true, false, amqp.Publishing{Body: []byte("back")}))
	select {
	case returned := <-returns:
		equal([]interface{}{returned.ReplyCode, returned.Exchange, string(returned.Body)}, []interface{}{uint16(312), prefix + "direct", "back"},
			"mandatory without a route comes back, 312")
	case <-within(5):
		ok(false, "mandatory without a route comes back, 312")
	}
	equal(depth(channel.Channel, fanout), 7, "an alternate exchange takes what else had no route")
	for _, name := range []string{"direct", "fanout", "topic", "headers", "ae"} {
		must(channel.ExchangeDelete(prefix+name, false, false))
	}
}

func failures() {
	connection := connect(url)
	defer connection.Close()
	expect := func(code int, what string, action func(*amqp.Channel) error) {
		equal(codeOf(action(openChannel(connection))), code, fmt.Sprintf("%d: %s", code, what))
	}
	missing := prefix + "missing"
	expect(404, "passive declare of a missing queue", func(channel *amqp.Channel) error {
		_, err := channel.QueueDeclarePassive(missing, false, false, false, false, nil)
		return err
	})
	expect(404, "bind of a missing queue", func(channel *amqp.Channel) error { return channel.QueueBind(missing, "k", "amq.direct", false, nil) })
	expect(406, "redeclare of an exchange with another durability", func(channel *amqp.Channel) error {
		return channel.ExchangeDeclare("amq.fanout", "fanout", false, false, false, false, nil)
	})
	expect(403, "bind to the default exchange", func(channel *amqp.Channel) error {
		queue, err := channel.QueueDeclare("", false, true, true, false, nil)
		must(err)
		return channel.QueueBind(queue.Name, "k", "", false, nil)
	})
	expect(404, "publish to a missing exchange", func(channel *amqp.Channel) error {
		closed := channel.NotifyClose(make(chan *amqp.Error, 1))
		must(channel.PublishWithContext(context.Background(), missing, "", false, false, amqp.Publishing{Body: []byte("x")}))
		select {
		case err := <-closed:
			return err
		case <-within(5):
			return nil
		}
	})
	owner := connect(url)
	exclusive, err := openChannel(owner).QueueDeclare("", false, false, true, false, nil)
	must(err)
	expect(405, "delete of another connection's exclusive queue", func(channel *amqp.Channel) error {
		_, err := channel.QueueDelete(exclusive.Name, false, false, false)
		return err
	})
	must(owner.Close())
	expect(404, "an exclusive queue is gone with its connection", func(channel *amqp.Channel) error {
		_, err := channel.QueueDeclarePassive(exclusive.Name, false, false, true, false, nil)
		return err
	})
	ok(!connection.IsClosed(), "the connection outlives all these channels")
	_, err = amqp.Dial(strings.Replace(url, "guest:guest", "guest:wrong", 1))
	equal(codeOf(err), 403, "403: a wrong password")
	_, err = amqp.Dial(strings.Replace(url, "%2f", "no-such-vhost", 1))
	ok(err != nil, "a missing vhost is refused", err)

	repeated := connect(url)
	channel := openChannel(repeated)
	queue, err := channel.QueueDeclare("", false, true, true, false, nil)
	must(err)
	_, err = channel.Consume(queue.Name, "same", true, false, false, false, nil)
	must(err)
	closed := repeated.NotifyClose(make(chan *amqp.Error, 1))
	channel.Consume(queue.Name, "same", true, false, false, false, nil)
	select {
	case err := <-closed:
		equal(codeOf(err), 530, "530: a consumer tag twice on one channel")
	case <-within(5):
		ok(false, "530: a consumer tag twice on one channel")
	}
}

// manyConnections has connections come, work at the same time, and go.
func manyConnections() {
	const connections, messages = 50, 40
	received := make(chan int, connections)
	var running sync.WaitGroup
	for each := 0; each < connections; each++ {
		running.Add(1)
		go func() {
			defer running.Done()
			count := 0
			defer func() { recover(); received <- count }()
			connection := connect(url)
			defer connection.Close()
			channel := openChannel(connection)
			queue, err := channel.QueueDeclare("", false, true, true, false, nil)
			must(err)
			deliveries, err := channel.Consume(queue.Name, "", true, false, false, false, nil)
			must(err)
			for number := 0; number < messages; number++ {
				must(channel.PublishWithContext(context.Background(), "", queue.Name, false, false, amqp.Publishing{Body: make([]byte, 1000)}))
			}
			deadline := within(20)
			for count < messages {
				select {
				case <-deliveries:
					count++
				case <-deadline:
					return
				}
			}
		}()
	}
	running.Wait()
	sum := 0
	for each := 0; each < connections; each++ {
		sum += <-received
	}
	equal(sum, connections*messages, "50 connections at once, 40 messages each")
}

// A broker whose passwords do not expire may take any secret.
func secrets() {
	connection := connect(url)
	must(connection.UpdateSecret("guest", "as before"))
	_, err := openChannel(connection).QueueDeclare("", false, true, true, false, nil)
	equal(err, nil, "a connection goes on with a new secret")
	if connection.Properties["product"] == "Talaria" {
		equal(codeOf(connection.UpdateSecret("wrong", "by mistake")), 530, "530: a wrong one")
	}
	connection.Close()
}

func main() {
	part("publishConsumeGet", publishConsumeGet)
	part("exchanges", exchanges)
	part("failures", failures)
	part("secrets", secrets)
	part("manyConnections", manyConnections)
	finish()
}
