// Places a rule from Go: watches, puts it, waits until it is ACTIVE, reads its figures, removes it.
//
//	sudo ./sluice credentials orchestrator robot --out robot.json
//	mkdir robot && cp docs/examples/place_rule.go robot/ && cd robot
//	go mod init robot && go mod tidy
//	go run place_rule.go ../robot.json eth0 eth1
//
// Needs nats.go and nkeys alone: requests and answers are JSON. Ends with 0 if all went well. Where several hosts have
// the input interface the rule waits, and so does this program in vain: name hosts in the rule.
package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
)

const timeout = 5 * time.Second

// As `sluice credentials orchestrator` writes it; the last two when the server speaks TLS.
type credentials struct {
	Name       string `json:"name"`
	URL        string `json:"url"`
	Seed       string `json:"seed"`
	CA         string `json:"ca"`
	ServerName string `json:"serverName"`
}

// What of the answers and events is read here; docs/api.md has all of it.
type rule struct {
	Revision string      `json:"revision"` // 64-bit numbers are strings in JSON.
	Hosts    []hostState `json:"hosts"`
}

type hostState struct {
	Host   string `json:"host"`
	State  string `json:"state"`
	Reason string `json:"reason"`
}

type stateChanged struct {
	hostState
	Name      string `json:"name"`
	Revision  string `json:"revision"`
	Withdrawn bool   `json:"withdrawn"`
}

type figures struct {
	Rules []struct {
		Name             string `json:"name"`
		ReceivedPackets  string `json:"receivedPackets"`
		ForwardedPackets string `json:"forwardedPackets"`
	} `json:"rules"`
}

// What a service refused, as its headers say it.
type refusal struct {
	subject, code, text string
}

func (r *refusal) Error() string {
	return fmt.Sprintf("%s refused: %s %s", r.subject, r.code, r.text)
}

func connect(path string) (*nats.Conn, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var own credentials
	if err := json.Unmarshal(text, &own); err != nil {
		return nil, err
	}
	key, err := nkeys.FromSeed([]byte(own.Seed))
	if err != nil {
		return nil, err
	}
	public, err := key.PublicKey()
	if err != nil {
		return nil, err
	}
	options := []nats.Option{nats.Name(own.Name), nats.Nkey(public, key.Sign)}
	if own.CA != "" {
		authorities := x509.NewCertPool()
		authorities.AppendCertsFromPEM([]byte(own.CA))
		options = append(options, nats.Secure(&tls.Config{RootCAs: authorities, ServerName: own.ServerName}))
	}
	return nats.Connect(own.URL, options...)
}

// Sends one request and reads its answer. An error of the service is in the headers, and the answer is empty.
func ask(nc *nats.Conn, subject string, request, answer any) error {
	payload, err := json.Marshal(request)
	if err != nil {
		return err
	}
	message, err := nc.Request(subject, payload, timeout)
	if err != nil {
		return fmt.Errorf("%s not answered: %w", subject, err)
	}
	if code := message.Header.Get("Nats-Service-Error-Code"); code != "" {
		return &refusal{subject, code, message.Header.Get("Nats-Service-Error")}
	}
	return json.Unmarshal(message.Data, answer)
}

type object = map[string]any

// Revision 0 says that there must be no rule of that name: without it, a put replaces the one that is there.
func video(name, input, output string) object {
	return object{"expectedRevision": "0", "rule": object{
		"name":    name,
		"input":   object{"interface": input, "group": "239.1.1.1", "port": 5001},
		"outputs": []object{{"interface": output, "address": "239.10.1.1", "port": 6001}},
	}}
}

// Waits for the event that says so of this revision. It was subscribed to before the rule was put: nothing is missed.
func untilState(events *nats.Subscription, fits func(stateChanged) bool) (stateChanged, error) {
	var last stateChanged
	for {
		message, err := events.NextMsg(timeout)
		if err != nil {
			return last, fmt.Errorf("%w: %s last: %s %s", err, last.Host, last.State, last.Reason)
		}
		var event stateChanged
		if err := json.Unmarshal(message.Data, &event); err != nil {
			return event, err
		}
		last = event
		if event.State == "FAILED" {
			return event, fmt.Errorf("%s: %s on %s", event.Reason, event.State, event.Host)
		}
		if fits(event) {
			return event, nil
		}
	}
}

func run(path, input, output string) error {
	nc, err := connect(path)
	if err != nil {
		return err
	}
	defer nc.Close()
	// 1. Watch what the hosts make of this rule, and what its figures are.
	states, err := nc.SubscribeSync("sluice.v1.event.host.*.rule.video")
	if err != nil {
		return err
	}
	published, err := nc.SubscribeSync("sluice.v1.stats.video.json")
	if err != nil {
		return err
	}
	// 2. Put. The answer comes once the rule is durable; hosts take it up in the next moments.
	var put struct{ Rule rule }
	if err := ask(nc, "sluice.v1.rule.put", video("video", input, output), &put); err != nil {
		return err
	}
	placed := true
	defer func() {
		// When something fails in between: a rule that never became ACTIVE would wait for ever.
		if placed {
			_ = ask(nc, "sluice.v1.rule.remove", object{"name": "video"}, &rule{})
		}
	}()
	fmt.Println("put: revision", put.Rule.Revision)
	// 3. Wait until it is ACTIVE with what was put.
	active, err := untilState(states, func(event stateChanged) bool {
		return event.State == "ACTIVE" && event.Revision == put.Rule.Revision
	})
	if err != nil {
		return err
	}
	fmt.Printf("%s: %s\n", active.Host, active.State)
	// 4. Figures, merged over all hosts: asked for, and published each second.
	var stats figures
	if err := ask(nc, "sluice.v1.stats.get", object{"names": []string{"video"}}, &stats); err != nil {
		return err
	}
	for _, figure := range stats.Rules {
		fmt.Printf("%s: %s received, %s forwarded\n", figure.Name, figure.ReceivedPackets, figure.ForwardedPackets)
	}
	if _, err := published.NextMsg(timeout); err != nil {
		return fmt.Errorf("no statistics are published: %w", err)
	}
	// 5. What is refused says why: here another rule takes the same datagrams already.
	var refused *refusal
	err = ask(nc, "sluice.v1.rule.put", video("other", input, output), &put)
	if !errors.As(err, &refused) {
		return fmt.Errorf("a conflict was not refused: %v", err)
	}
	fmt.Println(refused)
	// 6. Remove, and wait until the host has stopped.
	var removed rule
	if err := ask(nc, "sluice.v1.rule.remove", object{"name": "video"}, &removed); err != nil {
		return err
	}
	placed = false
	fmt.Println("removed: revision", removed.Revision)
	gone, err := untilState(states, func(event stateChanged) bool { return event.Withdrawn })
	if err != nil {
		return err
	}
	fmt.Printf("%s: withdrawn\n", gone.Host)
	return nil
}

func main() {
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: place_rule CREDENTIALS INPUT-INTERFACE OUTPUT-INTERFACE")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2], os.Args[3]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
