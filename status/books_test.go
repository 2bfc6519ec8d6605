package status

import (
	"html/template"
	"regexp"
	"strings"
	"testing"
	"time"

	"rsyncd_exporter/status/api"
)

// expected is what the books of backups and clients may show at noon.
func expected() *answer {
	noon := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	at := func(ago time.Duration) *time.Time { t := noon.Add(-ago); return &t }
	return &answer{
		at: noon,
		backups: backupList{Backups: []api.Backup{
			{Name: "data@bob", Module: "data", User: "bob", Direction: "receive", State: "never", Alarm: 2, Why: "bob's has not come since the start.",
				Due: at(2 * time.Hour)},
			{Name: "<b>data</b>", Module: "data", User: "alice", Direction: "receive", State: "late", Alarm: 1, Why: "an hour late", LastSuccess: at(27 * time.Hour),
				Due: at(-90 * time.Minute), Duration: 754, Received: 3 << 30, Listed: 40 << 30, Files: 12345},
			{Name: "photos", Client: "192.0.2.7", State: "ok", LastSuccess: at(3 * time.Hour), Duration: 5, Received: 1 << 20, Listed: 9 << 30, Files: 7},
		}, States: map[string]int{"never": 1, "late": 1, "ok": 1}},
		clients: clientList{Windows: []api.ClientWindow{
			{Window: "1h", Clients: []api.ClientVolume{}},
			{Window: "24h", Clients: []api.ClientVolume{
				{Client: "2001:db8::/64", Name: "pc.example.org", Group: "mirrors", Place: "DE", Volume: api.Volume{Sessions: 3, Sent: 6 << 30}},
				{Client: "192.0.2.1", Volume: api.Volume{Sessions: 2, Sent: 1 << 30}},
			}, Rest: api.ClientRest{Volume: api.Volume{Sessions: 5, Received: 1 << 30}, AtMost: &api.Volume{Sessions: 1}},
				Families: map[string]api.Volume{"ipv4": {Sessions: 7, Sent: 1 << 30}, "ipv6": {Sessions: 3, Sent: 6 << 30}, "unknown": {}},
				Total:    api.Volume{Sessions: 10, Sent: 7 << 30, Received: 1 << 30}},
		}},
	}
}

func wordsOf(t *testing.T, a *answer) string {
	t.Helper()
	s := &server{template: template.Must(template.ParseFS(assets, "page.html.tmpl"))}
	html, err := s.render(a)
	if err != nil {
		t.Fatal(err)
	}
	words := regexp.MustCompile(`<use href="#i-(\w+)"/>`).ReplaceAllString(string(html), "[$1]")
	words = regexp.MustCompile(`</t[hd]>`).ReplaceAllString(words, "|")
	words = regexp.MustCompile(`<[^>]*>`).ReplaceAllString(words, "")
	return words
}

// By hand: 6 of 8 GiB are 75 %. What is worst stands first, with a shape and a word.
func TestBackupsAndClients(t *testing.T) {
	words := wordsOf(t, expected())
	for _, want := range []string{
		"1 backup is missing; 1 backup is late.", "1 never, 1 late, 1 ok",
		"data@bob|[never] never|never|2h 00m ago|–|–|–|–|bob&#39;s has not come since the start.|",
		"&lt;b&gt;data&lt;/b&gt;|[late] late|1d 3h ago|in 1h 30m|12m 34s|12,345|3.00 GiB|40.0 GiB|an hour late|",
		"photos from 192.0.2.7|[ok] ok|3h 00m ago|–|5s|7|1.00 MiB|9.00 GiB||",
		"2001:db8::/64 pc.example.org · mirrors · DE|3|6.00 GiB|0 B|75.0%|", "192.0.2.1|2|1.00 GiB|0 B|12.5%|",
		"all others|5|0 B|1.00 GiB|12.5%|", "of these, ipv6|3|6.00 GiB|0 B|75.0%|",
	} {
		if !strings.Contains(words, want) {
			t.Errorf("%q is missing", want)
		}
	}
	const forgets = "Without STATE_DIR a restart forgets which backups came."
	kept := expected()
	kept.inputs.State = &api.State{OK: true}
	if !strings.Contains(words, forgets) || strings.Contains(wordsOf(t, kept), forgets) {
		t.Errorf("%q should show where there is no STATE_DIR, and nowhere else", forgets)
	}
	if never, late := strings.Index(words, "data@bob"), strings.Index(words, "an hour late"); never > late {
		t.Error("the worst is not the first")
	}
	for _, none := range []string{"The last 1h", "of these, unknown"} {
		if strings.Contains(words, none) {
			t.Errorf("%q shows, and there is none", none)
		}
	}
}

// The page's sentence goes by how urgent things are, as the command backups does: a backup that still may come isn't
// missing.
func TestVerdict(t *testing.T) {
	never, late := api.Backup{State: "never", Alarm: 2}, api.Backup{State: "late", Alarm: 1}
	first, failed := api.Backup{State: "never", Alarm: 1}, api.Backup{State: "failed", Alarm: 2}
	overdue, ok, paused := api.Backup{State: "overdue", Alarm: 2}, api.Backup{State: "ok"}, api.Backup{State: "paused"}
	for _, c := range []struct {
		backups []api.Backup
		inputs  api.Inputs
		tone    string
		want    string
	}{
		{nil, api.Inputs{}, "ok", "Nothing needs attention."},
		{[]api.Backup{ok, paused}, api.Inputs{State: &api.State{OK: true}, SessionLog: &api.SessionLog{OK: true}}, "ok", "Nothing needs attention."},
		{[]api.Backup{first, first, ok}, api.Inputs{}, "warn", "2 backups have not come yet."},
		{[]api.Backup{late}, api.Inputs{}, "warn", "1 backup is late."},
		{[]api.Backup{overdue, never, failed, late, first}, api.Inputs{}, "bad",
			"2 backups are missing; 1 backup has failed; 1 backup is late; 1 backup has not come yet."},
		{[]api.Backup{late}, api.Inputs{Files: []api.File{{}, {OK: true}}}, "bad", "1 backup is late; 1 log file isn't read."},
		{nil, api.Inputs{State: &api.State{}, SessionLog: &api.SessionLog{}}, "bad", "The counters can't be saved; the session log can't be written."},
	} {
		var p page
		p.judge(&answer{backups: backupList{Backups: c.backups}, inputs: c.inputs})
		if p.Verdict != c.want || p.Tone != c.tone {
			t.Errorf("%q (%s), want %q (%s)", p.Verdict, p.Tone, c.want, c.tone)
		}
	}
	a := expected()
	a.backups.Backups = []api.Backup{first}
	s := &server{template: template.Must(template.ParseFS(assets, "page.html.tmpl"))}
	html, err := s.render(a)
	if err != nil || strings.Contains(string(html), "<title>! ") || strings.Contains(string(html), `class="bad"><svg`) {
		t.Errorf("%v: what still may come is shown as what is missing", err)
	}
}

// Of the same, the public sees states and sums.
func TestPublicBackupsAndClients(t *testing.T) {
	a := expected()
	a.redact()
	words := wordsOf(t, a)
	for _, secret := range []string{"bob", "192.0.2", "2001:db8", "pc.example.org", "an hour late", "&lt;b&gt;"} {
		if strings.Contains(words, secret) {
			t.Errorf("%q is public", secret)
		}
	}
	for _, want := range []string{"data|[never] never|", "backup 3|[ok] ok|", "all clients|10|7.00 GiB|1.00 GiB|100.0%|"} {
		if !strings.Contains(words, want) {
			t.Errorf("%q is missing", want)
		}
	}
}

// What a shorter list leaves out is part of the rest, so that the sums stay right.
func TestRestOfClients(t *testing.T) {
	w := expected().clients.first(1).Windows[1]
	if len(w.Clients) != 1 || w.Rest.Sessions != 7 || w.Rest.Sent != 1<<30 || w.Rest.Received != 1<<30 || w.Rest.AtMost != nil {
		t.Errorf("%+v", w)
	}
	if all := expected().clients.first(-1).Windows[1]; len(all.Clients) != 2 || all.Rest.Sessions != 5 || all.Rest.AtMost == nil {
		t.Errorf("%+v", all)
	}
}
