package config

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"rsyncd_exporter/internal/testpki"
)

// FuzzFlags: any arguments are parsed to their end, and what is no setting is reported.
func FuzzFlags(f *testing.F) {
	for _, seed := range []string{"", "--file\n/a", "--=\n---\n-\n--", "-p\n\n-s\nx\n-x", "--listen-udp=:1\nstray", "--nosuch\nvalue\n--tags=", "-h", "--p=1"} {
		f.Add(seed)
	}
	known := map[string]bool{}
	for _, s := range Defaults() {
		known[strings.TrimPrefix(s.Flag, "--")] = true
	}
	f.Fuzz(func(t *testing.T, text string) {
		args := strings.Split(text, "\n")
		for _, a := range args {
			if name := strings.TrimLeft(a, "-"); name == "f" || strings.HasPrefix(name, "f=") {
				t.Skip("would read files")
			}
		}
		v := newValidator()
		v.parseFlags(args, nil)
		if len(v.problems) > 0 {
			return
		}
		// Without a problem, everything is a flag that exists, or the value of one.
		for i := 0; i < len(args); i++ {
			if args[i] == "" && i == len(args)-1 {
				t.Fatalf("%q: an empty argument was accepted", args)
			}
			if args[i] == "--" && i == len(args)-1 {
				return
			}
			name, _, hasValue := strings.Cut(strings.TrimLeft(args[i], "-"), "=")
			if !known[name] && !strings.Contains("psx", name) {
				t.Fatalf("%q: %q was accepted", args, args[i])
			}
			if !hasValue {
				i++
			}
		}
	})
}

// A setting is split into items only if it is a list, so that the tests above know of it.
func TestOnlyListsHaveItems(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a setting that is no list has items")
		}
	}()
	items(&Setting{Name: "NEW", Value: "a,b"})
}

// A user's number is that user, whatever another one is called.
func TestUsersByNumber(t *testing.T) {
	v := newValidator()
	got := parsedItems(v, parseUser, "")(&Setting{Name: "LISTEN_UNIXGRAM_UIDS", list: emptyIsAll, Value: "0,65534,root,4294967294"})
	if len(v.problems) > 0 || fmt.Sprint(got) != "[0 65534 4294967294]" {
		t.Errorf("%v, %v", got, v.problems)
	}
}

// A key that somebody else owns can be replaced by them. Only root can make one.
func TestWarningAboutTheKeysOwner(t *testing.T) {
	pki := testpki.Write(t)
	v := newValidator()
	key := &Setting{Name: "TLS_KEY", Value: pki + "/server.key", Origin: "test"}
	v.keyIsPrivate(key)
	if len(v.cfg.Warnings) != 0 {
		t.Errorf("warnings %q about our own key", v.cfg.Warnings)
	}
	if os.Geteuid() == 0 {
		if err := os.Chown(key.Value, 12345, -1); err != nil {
			t.Fatal(err)
		}
		v.keyIsPrivate(key)
		if len(v.cfg.Warnings) != 1 || !strings.Contains(v.cfg.Warnings[0], "it belongs to uid 12345, who may replace it: it should be root's") {
			t.Errorf("warnings %q", v.cfg.Warnings)
		}
	}
}
