package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"unicode"
)

const (
	// version is that of the Summary's form.
	version = 1
	// maxSummary bounds what is read as one, in bytes. 10,000 users take 4 to 8 MiB, 10,000 entries of
	// each top list 20, 2,000 modules in all directions 14, and 20 years 1.
	maxSummary = 64 << 20
	// maxNumber is above all that are counted. Numbers below it can be added up.
	maxNumber = 1e20
)

// JSON writes a Summary as ReadSummary reads it. The error is the writer's.
func (s *Summary) JSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(s)
}

// ReadSummary reads what JSON has written, and nothing else: other versions, fields that a Summary
// doesn't have, names with control characters and more than 64 MiB are errors, which say so.
func ReadSummary(r io.Reader) (*Summary, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxSummary+1))
	if err != nil {
		return nil, fmt.Errorf("reading a report: %w", err)
	}
	if len(b) > maxSummary {
		return nil, fmt.Errorf("reading a report: it is longer than %d MiB", maxSummary>>20)
	}
	s, err := parseSummary(b)
	if err != nil {
		return nil, fmt.Errorf("this is not a report of report --json: %w", err)
	}
	return s, nil
}

func parseSummary(b []byte) (*Summary, error) {
	var outline struct {
		Version *int `json:"version"`
		// encoding/json cuts and fills lists of a fixed length.
		Hours []json.RawMessage   `json:"hours"`
		Heat  [][]json.RawMessage `json:"heat"`
	}
	if err := json.Unmarshal(b, &outline); err != nil {
		return nil, err
	}
	switch {
	case outline.Version == nil:
		return nil, errors.New("it has no version")
	case *outline.Version != version:
		return nil, fmt.Errorf("it has version %d, and this program reads version %d", *outline.Version, version)
	case len(outline.Hours) != 24 || len(outline.Heat) != 7:
		return nil, fmt.Errorf("it has %d hours and %d weekdays", len(outline.Hours), len(outline.Heat))
	}
	for _, day := range outline.Heat {
		if len(day) != 24 {
			return nil, fmt.Errorf("a weekday has %d hours", len(day))
		}
	}
	if err := plain(b); err != nil {
		return nil, err
	}
	s := &Summary{}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(s); err != nil {
		return nil, err
	}
	if err := s.check(); err != nil {
		return nil, err
	}
	s.complete()
	return s, nil
}

// plain finds control characters in the texts, which go to terminals, and numbers without measure.
func plain(b []byte) error {
	dec := json.NewDecoder(bytes.NewReader(b))
	for {
		switch t, err := dec.Token(); v := t.(type) {
		case nil:
			if err == io.EOF {
				return nil
			}
			if err != nil {
				return err
			}
		case float64:
			if math.Abs(v) > maxNumber {
				return fmt.Errorf("it has the number %g", v)
			}
		case string:
			for _, r := range v {
				if unicode.IsControl(r) {
					return fmt.Errorf("it has a control character in %.100q", v)
				}
			}
		}
	}
}

// check finds lists of another form than a Fold's.
func (s *Summary) check() error {
	for i := range s.Modules {
		if n := len(s.Modules[i].Duration.Buckets); n != 0 && n != numBounds+1 {
			return fmt.Errorf("a module has durations in %d buckets, not %d", n, numBounds+1)
		}
	}
	for i := range s.Saturation {
		if n := max(len(s.Saturation[i].Begun), len(s.Saturation[i].SecondsAt)); n > maxLevels {
			return fmt.Errorf("a module has %d levels of saturation, not at most %d", n, maxLevels)
		}
	}
	return nil
}

// complete makes empty lists and maps of missing ones, so that JSON never has a null.
func (s *Summary) complete() {
	fillMap(&s.Families)
	s.Totals.complete()
	fillList(&s.Files)
	fillList(&s.Modules)
	fillList(&s.Clients)
	fillList(&s.Users)
	fillList(&s.Days)
	fillList(&s.Paths)
	fillList(&s.Deleted)
	fillList(&s.Waste.Clients)
	fillList(&s.Saturation)
	fillList(&s.Samples)
	for i := range s.Modules {
		fillMap(&s.Modules[i].Sessions)
	}
	for i := range s.Users {
		u := &s.Users[i]
		fillMap(&u.Sessions)
		u.Volume.Sessions = 0 // JSON has its place for the outcomes
		for _, n := range u.Sessions {
			grow(&u.Volume.Sessions, n)
		}
	}
	for i := range s.Saturation {
		fillList(&s.Saturation[i].Begun)
		fillList(&s.Saturation[i].SecondsAt)
	}
	if s.Compare != nil {
		s.Compare.Before.complete()
		fillList(&s.Compare.Changes)
	}
}

func (t *Totals) complete() {
	for _, m := range []*map[string]uint64{
		&t.Sessions, &t.Errors, &t.FileErrors, &t.Rejected, &t.Files, &t.FileBytes, &t.WireBytes, &t.Kinds,
	} {
		fillMap(m)
	}
}

func fillMap[V any](m *map[string]V) {
	if *m == nil {
		*m = map[string]V{}
	}
}

func fillList[T any](list *[]T) {
	if *list == nil {
		*list = []T{}
	}
}
