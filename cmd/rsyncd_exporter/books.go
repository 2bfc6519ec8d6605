package main

import (
	"fmt"
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
		pr.books = newBooks(pr.cfg, pr.places, from)
		return pr.books
	}
	return c
}

// loadPlaces loads GEOIP_DB. It returns nil where that isn't set.
func loadPlaces(cfg *config.Config) (*clients.Places, error) {
	if cfg.GeoIPDB == "" {
		return nil, nil
	}
	places, err := clients.LoadPlaces(cfg.GeoIPDB)
	if err != nil {
		return nil, fmt.Errorf("GEOIP_DB: %w", err)
	}
	return places, nil
}

// newBooks returns what serve keeps besides the counters, from where a Checkpoint left it.
func newBooks(cfg *config.Config, places *clients.Places, from *pipeline.Checkpoint) pipeline.Books {
	if from == nil {
		from = &pipeline.Checkpoint{}
	}
	b := pipeline.Books{
		Clients: clients.NewBook(from.Clients, clients.Config{
			Groups: cfg.ClientGroups, Places: places, Anonymise: cfg.Anonymise, Now: time.Now().UnixNano(),
		}),
		Backups: backups.NewBook(cfg.Expected, from.Backups, time.Now().UnixNano()),
		Recent:  recent.NewBook(),
	}
	if cfg.SessionLog != "" {
		b.Ended = sessionlog.NewQueue(from.Ended, cfg.StateDir != "", time.Now().UnixNano())
	}
	return b
}
