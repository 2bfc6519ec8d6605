package stream

// greetings are the first bytes of protocols that are sent to a syslog port by mistake. No syslog message starts so: with a priority
// it starts with '<', octet-counted with a digit.
var greetings = [...]struct {
	text string
	says Refusal
}{
	{"\x16\x03", SpeaksTLS}, // a handshake record's type and major version, RFC 8446 section 5.1
	{"SSH-", SpeaksSSH},     // RFC 4253 section 4.2
	{"GET ", SpeaksHTTP},    // methods, RFC 9110 section 9.3 and RFC 5789
	{"HEAD ", SpeaksHTTP},
	{"POST ", SpeaksHTTP},
	{"PUT ", SpeaksHTTP},
	{"DELETE ", SpeaksHTTP},
	{"CONNECT ", SpeaksHTTP},
	{"OPTIONS ", SpeaksHTTP},
	{"TRACE ", SpeaksHTTP},
	{"PATCH ", SpeaksHTTP},
	{"PRI * HTTP/2.0", SpeaksHTTP}, // RFC 9113 section 3.4
	{"PROXY ", SpeaksProxy},        // haproxy's proxy-protocol.txt, section 2.1
	{"\r\n\r\n\x00\r\nQUIT\n", SpeaksProxy},
}

// maxGreeting is as many bytes as it takes to know any of them.
const maxGreeting = 14

// greeting returns what a stream that begins with b speaks, Admitted where it is none of the known protocols. With more set b is too
// short to tell, and the beginning of one of them: call it again with more bytes.
func greeting(b []byte) (says Refusal, more bool) {
	for _, g := range greetings {
		n := min(len(b), len(g.text))
		if string(b[:n]) != g.text[:n] {
			continue
		}
		if n == len(g.text) {
			return g.says, false
		}
		more = true
	}
	return Admitted, more
}
