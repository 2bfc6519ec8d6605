package main

import (
	"time"

	"rsyncd_exporter/backups"
	"rsyncd_exporter/clients"
	"rsyncd_exporter/internal/config"
	"rsyncd_exporter/pipeline"
	"rsyncd_exporter/status/recent"
	"rsyncd_exporter/status/sessionlog"
)

// serveConfig is pipelineConfig with all books, which pr.books then has.
func (pr *program) serveConfig() pipeline.Config {
	c := pipelineConfig(pr.cfg)
	c.Books = func(from *pipeline.Checkpoint) pipeline.Books {
		pr.books = newBooks(pr.cfg, from)
		return pr.books
	}
	return c
}

// newBooks returns what serve keeps besides the counters, from where a Checkpoint left it.
func newBooks(cfg *config.Config, from *pipeline.Checkpoint) pipeline.Books {
	if from == nil {
		from = &pipeline.Checkpoint{}
	}
	b := pipeline.Books{
		Clients: clients.NewBook(from.Clients),
		Backups: backups.NewBook(from.Backups),
		Recent:  recent.NewBook(),
	}
	if cfg.SessionLog != "" {
		b.Ended = sessionlog.NewQueue(from.Ended, cfg.StateDir != "", time.Now().UnixNano())
	}
	return b
}

// records returns the books of clients and backups as a scrape shows them.
func (pr *program) records() (*clients.Record, *backups.Record) {
	if pr.persist == nil {
		return pr.pipeline.Records()
	}
	shown, _ := pr.persist.shownLast()
	return shown.clients, shown.backups
}
