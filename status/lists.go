package status

import (
	"rsyncd_exporter/pipeline"
	"rsyncd_exporter/status/api"
)

// What the API answers, and its first n rows; n is negative for all.
type (
	modules    api.Modules
	clientList api.Clients
	backupList api.Backups
	errorList  api.Errors
)

func first[T any](list []T, n int) []T {
	if n >= 0 && n < len(list) {
		return list[:n]
	}
	return list
}

// sessions are made of visits when they are shown: there isn't always memory for tens of thousands of
// both.
type sessions struct {
	api.Sessions // but for the sessions themselves
	visits       []pipeline.Visit
	show         func(*pipeline.Visit) api.Session
}

func (s sessions) first(n int) sessions {
	s.visits, s.Ended = first(s.visits, n), first(s.Ended, n)
	return s
}

// list returns the first n.
func (s sessions) list(n int) []api.Session {
	visits := first(s.visits, n)
	all := make([]api.Session, len(visits))
	for i := range visits {
		all[i] = s.show(&visits[i])
	}
	return all
}

func (m modules) first(n int) modules {
	m.Modules = first(m.Modules, n)
	return m
}

// first cuts each window's list of clients: the others are part of the rest then.
func (c clientList) first(n int) clientList {
	windows := make([]api.ClientWindow, 0, len(c.Windows))
	for _, w := range c.Windows {
		shown := first(w.Clients, n)
		for _, other := range w.Clients[len(shown):] {
			w.Rest.Sessions += other.Sessions
			w.Rest.Sent += other.Sent
			w.Rest.Received += other.Received
		}
		if len(shown) < len(w.Clients) {
			w.Rest.AtMost = nil
		}
		w.Clients = shown
		windows = append(windows, w)
	}
	c.Windows = windows
	return c
}

func (b backupList) first(n int) backupList {
	b.Backups = first(b.Backups, n)
	return b
}

func (e errorList) first(n int) errorList {
	e.Errors = first(e.Errors, n)
	return e
}
