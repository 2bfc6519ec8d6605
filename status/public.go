package status

import (
	"cmp"
	"slices"
	"strconv"

	"rsyncd_exporter/pipeline"
	"rsyncd_exporter/status/api"
)

// redact takes out whom the public may not know: addresses and names of clients, users, what was
// asked for, and paths, which often name users. The names of hosts and modules stay.
func (a *answer) redact() {
	show := a.sessions.show
	a.sessions.show = func(x *pipeline.Visit) api.Session {
		s := show(x)
		s.Client, s.User, s.Request, s.LastPath = public(s.Client), "", "", ""
		return s
	}
	for i := range a.sessions.Ended {
		e := &a.sessions.Ended[i]
		e.Client, e.User = public(e.Client), ""
	}
	for i := range a.errors.Errors {
		e := &a.errors.Errors[i]
		e.Client, e.User = public(e.Client), ""
	}
	a.clients = a.clients.first(0)
	for i := range a.backups.Backups {
		b := &a.backups.Backups[i]
		b.Name = cmp.Or(b.Module, "backup "+strconv.Itoa(i+1))
		b.User, b.Client, b.Why = "", "", ""
	}
	a.inputs.Files = slices.Clone(a.inputs.Files)
	for i := range a.inputs.Files {
		f := &a.inputs.Files[i]
		f.Path, f.Why = "file "+strconv.Itoa(i+1), ""
	}
}

// public returns what everybody may know of a client.
func public(c api.Client) api.Client { return api.Client{Group: c.Group, Place: c.Place} }
