// The Go part of `make demo`: publishers and consumers in one process, for some seconds; prints one row.
//
// Every body begins with the time it was published at, so that a consumer knows how long it was on its way.
package main

import (
	"context"
	"encoding/binary"
	"flag"
	"fmt"
	"os"
	"sort"
	"sync"
	"sync/atomic"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

var (
	publishers = flag.Int("publishers", 1, "connections that publish")
	consumers  = flag.Int("consumers", 1, "connections that consume")
	queues     = flag.Int("queues", 1, "queues, bound to a fanout exchange when there are several")
	size       = flag.Int("size", 100, "bytes of a body")
	confirm    = flag.Bool("confirm", false, "publish with confirms, at most 1000 outstanding, and acknowledge, prefetch 1000")
	rate       = flag.Int("rate", 0, "messages per second and publisher; 0: as fast as it goes")
	seconds    = flag.Float64("seconds", 2, "how long to publish")
	title      = flag.String("title", "", "what to print before the figures")
)

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}

func open() *amqp.Channel {
	connection, err := amqp.Dial(os.Getenv("AMQP_URL"))
	must(err)
	channel, err := connection.Channel()
	must(err)
	return channel
}

type consumer struct {
	latencies []uint32 // microseconds
	last      time.Time
}

func (c *consumer) run(channel *amqp.Channel, deliveries <-chan amqp.Delivery, received *int64) {
	sinceAck := 0
	for delivery := range deliveries {
		now := time.Now()
		sent := int64(binary.BigEndian.Uint64(delivery.Body))
		c.latencies = append(c.latencies, uint32((now.UnixNano()-sent)/1000))
		c.last = now
		atomic.AddInt64(received, 1)
		if sinceAck++; *confirm && (sinceAck >= 100 || len(deliveries) == 0) {
			must(delivery.Ack(true))
			sinceAck = 0
		}
	}
}

func publish(channel *amqp.Channel, exchange, key string, stop time.Time, published *int64) {
	var outstanding chan struct{}
	if *confirm {
		must(channel.Confirm(false))
		outstanding = make(chan struct{}, 1000)
		confirmations := channel.NotifyPublish(make(chan amqp.Confirmation, 1000))
		go func() {
			for range confirmations {
				<-outstanding
			}
		}()
	}
	body := make([]byte, *size)
	start := time.Now()
	for count := 0; ; count++ {
		now := time.Now()
		if now.After(stop) {
			break
		}
		if *rate > 0 {
			due := start.Add(time.Duration(count) * time.Second / time.Duration(*rate))
			if wait := due.Sub(now); wait > 0 {
				time.Sleep(wait)
				now = time.Now()
			}
		}
		if *confirm {
			outstanding <- struct{}{}
		}
		binary.BigEndian.PutUint64(body, uint64(now.UnixNano()))
		must(channel.PublishWithContext(context.Background(), exchange, key, false, false, amqp.Publishing{Body: body}))
		atomic.AddInt64(published, 1)
	}
	for wait := time.Now().Add(10 * time.Second); *confirm && len(outstanding) > 0 && time.Now().Before(wait); {
		time.Sleep(time.Millisecond)
	}
}

func main() {
	flag.Parse()
	setup := open()
	exchange := ""
	names := make([]string, *queues)
	if *queues > 1 {
		exchange = fmt.Sprintf("demo-%d", os.Getpid())
		must(setup.ExchangeDeclare(exchange, "fanout", false, false, false, false, nil))
	}
	for i := range names {
		names[i] = fmt.Sprintf("demo-%d-%d", os.Getpid(), i)
		_, err := setup.QueueDeclare(names[i], false, false, false, false, nil)
		must(err)
		if *queues > 1 {
			must(setup.QueueBind(names[i], "", exchange, false, nil))
		}
	}

	var published, received int64
	var publishing sync.WaitGroup
	all := make([]*consumer, *consumers)
	for i := range all {
		channel := open()
		must(channel.Qos(1000, 0, false))
		deliveries, err := channel.Consume(names[i%*queues], "", !*confirm, false, false, false, nil)
		must(err)
		all[i] = &consumer{}
		go all[i].run(channel, deliveries, &received)
	}
	start := time.Now()
	stop := start.Add(time.Duration(*seconds * float64(time.Second)))
	for i := 0; i < *publishers; i++ {
		publishing.Add(1)
		channel := open()
		go func(key string) {
			defer publishing.Done()
			publish(channel, exchange, key, stop, &published)
		}(names[i%*queues])
	}
	publishing.Wait()
	expected := atomic.LoadInt64(&published)
	if *queues > 1 {
		expected *= int64(*queues)
	}
	for wait := time.Now().Add(20 * time.Second); atomic.LoadInt64(&received) < expected && time.Now().Before(wait); {
		time.Sleep(time.Millisecond)
	}
	got := atomic.LoadInt64(&received)
	var latencies []uint32
	last := start
	for _, each := range all {
		latencies = append(latencies, each.latencies...)
		if each.last.After(last) {
			last = each.last
		}
	}
	for _, name := range names {
		setup.QueueDelete(name, false, false, false)
	}
	sort.Slice(latencies, func(a, b int) bool { return latencies[a] < latencies[b] })
	at := func(share float64) uint32 {
		if len(latencies) == 0 {
			return 0
		}
		return latencies[int(share*float64(len(latencies)-1))]
	}
	took := last.Sub(start).Seconds()
	fmt.Printf("%s|%d|%.0f|%.0f|%d|%d|%d\n", *title, got, float64(expected)/took, float64(got)/took, at(0.5), at(0.99), at(1))
	if got != expected {
		fmt.Fprintf(os.Stderr, "load: %d of %d messages arrived\n", got, expected)
		os.Exit(1)
	}
}
