package status

import (
	"cmp"
	"maps"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"rsyncd_exporter/clients"
	"rsyncd_exporter/internal/text"
	"rsyncd_exporter/metrics"
	"rsyncd_exporter/pipeline"
	"rsyncd_exporter/rsynclog"
	"rsyncd_exporter/rsynclog/codes"
	"rsyncd_exporter/status/api"
	"rsyncd_exporter/status/recent"
)

// answerOf makes an answer of a copy. The pipeline goes on meanwhile.
func (s *server) answerOf(m *Moment) *answer {
	a := &answer{
		at: time.Unix(0, m.At), waiting: m.Waiting,
		sessions: s.sessionsOf(m.View), modules: s.modulesOf(m.View),
		clients: s.clientsOf(m.View), backups: s.backupsOf(m.View), errors: s.errorsOf(m.View), inputs: s.inputsOf(m),
		remedy: s.Remedy,
	}
	a.backups.Waiting = m.Waiting
	if s.Public {
		a.redact()
	}
	return a
}

// mostClients is how many clients of a window are listed by bytes, and as many by sessions.
const mostClients = 100

func (s *server) clientsOf(v *pipeline.View) clientList {
	if v.Clients == nil {
		return clientList{Windows: []api.ClientWindow{}}
	}
	return clientList{Windows: v.Clients.Windows(v.At, mostClients, s.Groups, s.Places)}
}

func (s *server) backupsOf(v *pipeline.View) backupList {
	if v.Backups == nil {
		return backupList{Backups: []api.Backup{}, States: map[string]int{}}
	}
	list := backupList(v.Backups.API(s.Expected, time.Unix(0, v.At)))
	for i := range list.Backups {
		if b := &list.Backups[i]; s.Anonymise {
			b.Client, _ = clients.Show(b.Client, "", true)
		}
	}
	return list
}

// client says what is shown of a client, of whom the address or the name may be unknown.
func (s *server) client(address, name string) (c api.Client) {
	if a, err := netip.ParseAddr(address); err == nil {
		c.Group = s.Groups.Of(a)
		if s.Places != nil {
			c.Place = s.Places.Of(a)
		}
	}
	c.Address, c.Name = clients.Show(address, name, s.Anonymise)
	return c
}

// wall converts a time of the sessions' clock.
func wall(v *pipeline.View, at int64) time.Time { return time.Unix(0, at+v.Behind) }

// since returns the seconds since a time of the sessions' clock, to the millisecond.
func since(v *pipeline.View, at int64) float64 { return seconds(v.At - v.Behind - at) }

func seconds(nanos int64) float64 { return max(0, math.Round(float64(nanos)/1e6)/1e3) }

func (s *server) sessionsOf(v *pipeline.View) sessions {
	list := sessions{visits: v.Sessions, Sessions: api.Sessions{
		Sessions: []api.Session{}, Total: len(v.Sessions), Ended: []api.Ended{},
		States: map[string]int{"connected": 0, "running": 0, "failing": 0, "settling": 0},
	}}
	for i := range v.Sessions {
		list.States[v.Sessions[i].State]++
	}
	slices.SortStableFunc(list.visits, func(a, b pipeline.Visit) int {
		return cmp.Or(cmp.Compare(a.FirstSeen, b.FirstSeen), cmp.Compare(a.PID, b.PID))
	})
	times := &pipeline.View{At: v.At, Behind: v.Behind} // show keeps it, and not the rest
	list.show = func(x *pipeline.Visit) api.Session {
		return api.Session{
			Host: x.Host, PID: x.PID, Client: s.client(x.Addr, x.Name), Module: x.Module, User: x.User,
			Direction: x.Direction.String(), State: x.State,
			Started: wall(times, x.FirstSeen), Age: since(times, x.FirstSeen), Silent: since(times, x.LastSeen),
			Files: x.Files.Files(), FileBytes: x.Length, Request: x.Request, LastPath: rsynclog.PathText(x.Path),
		}
	}
	if v.Recent != nil {
		for i := range v.Recent.Ended {
			list.Ended = append(list.Ended, s.endedOf(v, &v.Recent.Ended[i]))
		}
	}
	slices.SortStableFunc(list.Ended, func(a, b api.Ended) int { return b.Time.Compare(a.Time) })
	return list
}

func (s *server) endedOf(v *pipeline.View, x *recent.Ended) api.Ended {
	e := api.Ended{
		Time: wall(v, x.LastSeen), Started: wall(v, x.FirstSeen), Host: x.Host, PID: x.PID,
		Client: s.client(x.Addr, x.Name), Module: x.Module, User: x.User, Direction: x.Direction.String(),
		Outcome: x.Outcome.String(), Reason: x.Reason.String(), Duration: seconds(x.LastSeen - x.FirstSeen),
		Sent: x.Sent, Received: x.Received, Listed: x.Total,
		Files: x.Files.ByOp(), FileErrors: x.Failures.ByErrno(),
	}
	for _, code := range x.Codes() {
		e.ExitCodes = append(e.ExitCodes, int(code))
	}
	return e
}

// with adds to a count of a map, which may be nil.
func with(m map[string]uint64, key string, n uint64) map[string]uint64 {
	if m == nil {
		m = map[string]uint64{}
	}
	m[key] += n
	return m
}

type place struct{ host, module string }

func (s *server) modulesOf(v *pipeline.View) modules {
	active, peaks := map[place]int{}, map[place]recent.Module{}
	for i := range v.Sessions {
		if x := &v.Sessions[i]; x.Runs {
			active[place{x.Host, x.Module}]++
		}
	}
	if v.Recent != nil {
		for _, m := range v.Recent.Modules {
			peaks[place{m.Host, m.Module}] = m
		}
	}
	list := modules{Modules: []api.Module{}}
	for i := range v.Books.Hosts {
		h := &v.Books.Hosts[i]
		here := map[string]int{}
		for j := range h.Modules {
			name := h.Modules[j].Module
			here[name] = active[place{h.Host, name}]
		}
		taken := s.Limits.Taken(here)
		for j := range h.Modules {
			m := s.moduleOf(h.Host, &h.Modules[j])
			at := place{m.Host, m.Module}
			m.Active, m.Peak, m.PlacesTaken = active[at], active[at], taken[m.Module]
			if p := peaks[at]; p.Peak > 0 {
				t := wall(v, p.At)
				m.Peak, m.PeakAt = max(m.Peak, p.Peak), &t
			}
			if m.Module != "" || m.Executions > 0 || m.Active > 0 || len(m.Sessions)+len(m.Rejected) > 0 {
				list.Modules = append(list.Modules, m)
			}
		}
	}
	slices.SortFunc(list.Modules, func(a, b api.Module) int {
		return cmp.Or(cmp.Compare(b.Active, a.Active), cmp.Compare(b.Sent+b.Received, a.Sent+a.Received),
			cmp.Compare(b.Executions, a.Executions), cmp.Compare(a.Module, b.Module), cmp.Compare(a.Host, b.Host))
	})
	list.Total = len(list.Modules)
	return list
}

func (s *server) moduleOf(host string, r *metrics.ModuleRecord) api.Module {
	m := api.Module{
		Host: host, Module: r.Module, MaxConnections: s.Limits[r.Module].MaxConnections, Since: time.Unix(0, r.Created),
		Sessions: map[string]uint64{}, Rejected: map[string]uint64{},
	}
	for reason, n := range r.RejectedByReason {
		if n > 0 {
			m.Rejected[rsynclog.Reason(reason).String()] = n
		}
	}
	for i := range r.Flows {
		f := &r.Flows[i]
		m.Executions, m.Sent, m.Received = m.Executions+f.Executions, m.Sent+f.Sent, m.Received+f.Received
		for outcome, n := range f.SessionsByOutcome {
			if n > 0 {
				m.Sessions[rsynclog.Outcome(outcome).String()] += n
			}
		}
	}
	return m
}

func (s *server) errorsOf(v *pipeline.View) errorList {
	list := errorList{Errors: []api.Error{}}
	if v.Recent == nil {
		return list
	}
	for i := range v.Recent.Errors {
		x := &v.Recent.Errors[i]
		e := api.Error{
			Time: wall(v, x.At), Host: x.Host, PID: x.PID, Client: s.client(x.Addr, x.Name), Module: x.Module,
			User: x.User, Direction: x.Direction.String(), Kind: x.Kind.String(), Count: x.Count,
		}
		number := int(x.Number)
		switch x.Kind {
		case recent.Exit:
			e.Code, e.Meaning = &number, cmp.Or(codes.ExitMeaning(number), "not an exit code of rsync's daemon")
		case recent.File:
			e.Errno, e.Meaning = &number, errnoMeaning(number)
		case recent.Rejected:
			e.Reason = rsynclog.Reason(number).String()
			e.Meaning = codes.ReasonAdvice(rsynclog.Reason(number)).Meaning
		}
		list.Errors = append(list.Errors, e)
	}
	slices.SortStableFunc(list.Errors, func(a, b api.Error) int { return b.Time.Compare(a.Time) })
	return list
}

func errnoMeaning(n int) string {
	if n == 0 {
		return "vanished, or an error without a number"
	}
	name, words := codes.ErrnoName(n)
	if name == "" {
		return "errno " + strconv.Itoa(n)
	}
	return words + " (" + name + ")"
}

func (s *server) inputsOf(m *Moment) api.Inputs {
	list := api.Inputs{Inputs: []api.Input{}, Hour: hourOf(m.View)}
	for i := range m.Books.Inputs {
		x := &m.Books.Inputs[i]
		in := api.Input{Input: x.Name, Received: x.Received, Ignored: x.Ignored, Discarded: map[string]api.Advice{}}
		for reason, n := range x.Discarded {
			if n > 0 {
				name := m.Books.Reasons[reason]
				in.Discarded[name] = api.Advice{Count: n, Remedy: s.Remedy(x.Name, name)}
			}
		}
		if x.LastMessage != 0 {
			t := time.Unix(0, x.LastMessage)
			in.LastMessage = &t
		}
		for j := range m.Live.Sockets {
			if l := &m.Live.Sockets[j]; l.Input == x.Name {
				addSocket(&in, l)
			}
		}
		list.Inputs = append(list.Inputs, in)
	}
	slices.SortFunc(list.Inputs, func(a, b api.Input) int { return cmp.Compare(a.Input, b.Input) })
	for i := range m.Live.Files {
		list.Files = append(list.Files, fileOf(&m.Live.Files[i], m.Why))
	}
	if st := m.Live.State; st != nil {
		list.State = &api.State{OK: st.OK, Age: seconds(int64(st.Age)), Start: st.Start}
	}
	if l := m.Live.SessionLog; l != nil {
		list.SessionLog = &api.SessionLog{OK: l.OK, Written: l.Written, Waiting: l.Waiting, Dropped: l.Dropped}
	}
	return list
}

func addSocket(in *api.Input, l *metrics.Socket) {
	if l.Datagram {
		in.Drops, in.Buffer = &l.Drops, l.Buffer
	}
	if l.Stream {
		in.Connections, in.Refused = &l.Connections, map[string]uint64{}
		maps.Copy(in.Refused, l.Refused)
		maps.DeleteFunc(in.Refused, func(_ string, n uint64) bool { return n == 0 })
	}
}

func fileOf(f *metrics.File, why map[string]string) api.File {
	path := cmp.Or(f.Path, f.Pattern)
	out := api.File{
		Path: text.OneLine(path), OK: f.OK, Why: why[path], Offset: f.Offset,
		Lag: f.Lag, LagSeconds: seconds(int64(f.LagTime)), Generations: f.Generations,
		Rotations: f.Rotations, Errors: f.Errors,
	}
	for reason, n := range f.Gaps {
		if n > 0 {
			out.Gaps = with(out.Gaps, reason, n)
		}
	}
	return out
}

// hourOf returns the hour before the present; minutes since the last change are as quiet as it left
// them.
func hourOf(v *pipeline.View) api.Hour {
	now := (v.At - v.Behind) / int64(time.Minute)
	h := api.Hour{Until: wall(v, (now+1)*int64(time.Minute))}
	for n := now - recent.Minutes + 1; n <= now; n++ {
		var m recent.Minute
		switch r := v.Recent; {
		case r == nil:
		case n > r.Minute:
			m.Active = r.Active
		case n > r.Minute-recent.Minutes:
			m = r.Hour[n%recent.Minutes]
		}
		h.Connections = append(h.Connections, m.Connections)
		h.Rejected = append(h.Rejected, m.Rejected)
		h.Failed = append(h.Failed, m.Failed)
		h.Sessions = append(h.Sessions, m.Sessions)
		h.Sent = append(h.Sent, m.Sent)
		h.Received = append(h.Received, m.Received)
		h.Active = append(h.Active, m.Active)
	}
	return h
}
