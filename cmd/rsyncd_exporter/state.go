package main

import (
	"errors"
	"fmt"
	"log/slog"

	"rsyncd_exporter/checkpoint"
	"rsyncd_exporter/pipeline"
	"rsyncd_exporter/receiver/follow"
)

// What STATE_DIR can hold at the start, of metrics.StateStarts.
const (
	startNew      = "new"
	startRestored = "restored"
	startSetAside = "set_aside"
)

// kept is what survives a restart: STATE_DIR, and what was found in it.
type kept struct {
	dir   *checkpoint.Dir      // nil without STATE_DIR
	saved *pipeline.Checkpoint // nil where there was none, or none that could be trusted
	start string
}

// openState locks the directory and reads what it holds. It sets aside a state that can't be
// trusted, and counters begin at zero. A directory that can't be used at all is an error.
func openState(path string, log *slog.Logger) (*kept, error) {
	k := &kept{start: startNew}
	if path == "" {
		return k, nil
	}
	path = realDir(path)
	dir, err := checkpoint.Open(path)
	if err != nil {
		return nil, fmt.Errorf("STATE_DIR: %w", err)
	}
	k.dir = dir
	saved, err := dir.Load()
	if errors.Is(err, checkpoint.ErrNone) {
		if checkpoint.Aside(path) { // by a process that ended before its first save
			k.start = startSetAside
			log.Warn("the state was set aside and nothing has been saved since: "+
				"counters begin at 0, files are read from their ends", "remedy", "to begin anew instead, empty "+path)
		}
		return k, nil
	}
	if err != nil && !errors.Is(err, checkpoint.ErrUntrusted) { // it may be as good as ever, for another user, say
		dir.Close()
		return nil, fmt.Errorf("STATE_DIR: %w", err)
	}
	if err == nil {
		for _, damage := range saved.Damaged {
			log.Warn("one copy of the state can't be used; the other is as good", "err", damage)
		}
		k.saved, err = pipeline.Decode(saved.Payload)
	}
	if err != nil {
		k.setAside(err, log)
		return k, nil
	}
	k.start = startRestored
	return k, nil
}

// realDir resolves STATE_DIR, a link with DynamicUser=. checkpoint.Open refuses a stranger's link.
func realDir(path string) string {
	if real, err := follow.Resolve(path); err == nil {
		return real
	}
	return path
}

func (k *kept) setAside(reason error, log *slog.Logger) {
	k.saved, k.start = nil, startSetAside
	err := k.dir.SetAside()
	log.Error("the state can't be trusted and is set aside: counters begin at 0, files are read from their ends",
		"err", errors.Join(reason, err))
}

// followed returns what is known of the followed files, or nil.
func (k *kept) followed() *follow.Catalogue {
	if k.saved == nil {
		return nil
	}
	return &k.saved.Followed
}

func (k *kept) close() {
	if k != nil && k.dir != nil {
		k.dir.Close()
	}
}

// newPipeline returns a pipeline that goes on from the state, or from zero if that can't be used.
func newPipeline(cfg pipeline.Config, k *kept, log *slog.Logger) (*pipeline.Pipeline, error) {
	cfg.Checkpoint, cfg.Resumable = k.saved, k.dir != nil
	p, err := pipeline.New(cfg)
	if k.saved != nil { // the pipeline has taken over the rest
		k.saved = &pipeline.Checkpoint{Followed: k.saved.Followed}
	}
	if errors.Is(err, pipeline.ErrCheckpoint) {
		k.setAside(err, log)
		cfg.Checkpoint = nil
		p, err = pipeline.New(cfg)
	}
	return p, err
}
