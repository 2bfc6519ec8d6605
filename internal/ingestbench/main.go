//go:build linux

// Ingestbench measures what a received message costs: it sends recorded messages of real rsync
// daemons over UDP, TCP and a unix datagram socket to this exporter and, in the same run, to
// receivers that only discard, and to a server made of go-syslog.v2. See `make bench-ingest`. Each
// receiver is a process of its own; its cost is the CPU time of that process, user and system, from
// the first message to the last.
package main

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"time"
)

// A bench is what the flags say.
type bench struct {
	exporter   string        // path of the exporter's binary
	corpus     string        // directory of the recorded messages
	loads      []string      // recorded, transfers
	transports []string      // udp, tcp, unixgram
	receivers  []string      // names of receivers, the reference first
	messages   int           // sent to each receiver in each round
	rate       int           // messages a second; 0: as fast as the generator can
	rounds     int           // medians are over these
	timeout    time.Duration // for one receiver in one round
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == "receive" { // this program again, as one of the receivers
		receive(os.Args[2:])
		return
	}
	var b bench
	var transports, receivers, loads string
	flag.StringVar(&b.exporter, "exporter", "bin/rsyncd_exporter", "the exporter's `binary`")
	flag.StringVar(&b.corpus, "corpus", "testdata/corpus", "`directory` of the recorded messages")
	flag.StringVar(&transports, "transports", "udp,tcp,unixgram", "what to measure")
	flag.StringVar(&receivers, "receivers", "null-recvmmsg,null-poller,exporter,pipeline,pipeline-in-full,go-syslog",
		"who receives; ratios are to the first")
	flag.StringVar(&loads, "loads", "recorded,transfers", "what is sent: recorded sessions, or sessions of many files")
	flag.IntVar(&b.messages, "messages", 1_000_000, "messages to send to each receiver in each round")
	flag.IntVar(&b.rate, "rate", 0, "messages a second; 0 for as many as the generator reaches")
	flag.IntVar(&b.rounds, "rounds", 5, "rounds")
	flag.DurationVar(&b.timeout, "timeout", time.Minute, "for one receiver in one round")
	flag.Parse()
	b.transports, b.loads = strings.Split(transports, ","), strings.Split(loads, ",")
	b.receivers = strings.Split(receivers, ",")
	if err := b.run(); err != nil {
		fmt.Fprintf(os.Stderr, "ingestbench: %v\n", err)
		os.Exit(1)
	}
}

// run measures every receiver over every transport, in turns, and prints a table for each
// transport.
func (b *bench) run() error {
	for _, load := range b.loads {
		for _, transport := range b.transports {
			if err := b.compare(load, transport); err != nil {
				return err
			}
		}
	}
	return nil
}

// compare measures every receiver over one transport.
func (b *bench) compare(load, transport string) error {
	mix, err := readMix(b.corpus, transport)
	if load == "transfers" {
		mix, err = transferMix(transport), nil
	}
	if err != nil {
		return err
	}
	results := map[string][]result{}
	for round := range b.rounds {
		for i := range b.receivers {
			name := b.receivers[(i+round)%len(b.receivers)] // no one is always first
			r, err := b.measure(transport, name, mix)
			if err != nil {
				return fmt.Errorf("%s, %s: %w", transport, name, err)
			}
			results[name] = append(results[name], r)
		}
	}
	b.print(load, transport, results)
	return nil
}

// print writes one transport's table: medians over the rounds, and the CPU time of a message as a
// ratio to that of the first receiver.
func (b *bench) print(load, transport string, results map[string][]result) {
	rate := "as fast as the generator could"
	if b.rate > 0 {
		rate = fmt.Sprintf("at %d a second", b.rate)
	}
	fmt.Printf("\n%s over %s: %d messages, %s; medians of %d rounds\n\n", load, transport, b.messages, rate, b.rounds)
	fmt.Printf("| receiver | messages/s | lost | CPU µs/message | ratio (least to most) |\n|---|---|---|---|---|\n")
	reference := results[b.receivers[0]]
	for _, name := range b.receivers {
		r := results[name]
		ratios := make([]float64, len(r))
		for i := range r {
			ratios[i] = r[i].cpu / reference[i].cpu
		}
		lost := 0
		for i := range r {
			lost += r[i].sent - r[i].received
		}
		rate := median(r, func(r result) float64 { return r.rate })
		cpu := median(r, func(r result) float64 { return r.cpu })
		fmt.Printf("| %s | %.0f | %s | %.2f | %.2f (%.2f to %.2f) |\n", name, rate,
			percent(lost, b.messages*len(r)), cpu*1e6, middle(ratios), least(ratios), most(ratios))
	}
}
