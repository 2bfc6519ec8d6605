package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"rsyncd_exporter/checkpoint"
	"rsyncd_exporter/pipeline"
	"rsyncd_exporter/receiver"
)

// explainState says what STATE_DIR holds and what the next start does with it. It changes nothing.
func explainState(w io.Writer, dir string, now time.Time) {
	dir = realDir(dir)
	copies := checkpoint.Look(dir)
	var best *checkpoint.Copy
	for i := range copies {
		c := &copies[i]
		switch {
		case errors.Is(c.Err, fs.ErrNotExist):
			fmt.Fprintf(w, "state %s: not there\n", c.Name)
		case c.Err != nil:
			fmt.Fprintf(w, "state %s: %d bytes, can't be used: %v\n", c.Name, c.Size, c.Err)
		default:
			fmt.Fprintf(w, "state %s: %d bytes, format %d, save %d, of %s (%v ago)\n",
				c.Name, c.Size, c.Version, c.Sequence, c.At.Format(time.RFC3339), now.Sub(c.At).Round(time.Second))
			if best == nil || c.Sequence > best.Sequence {
				best = c
			}
		}
	}
	if best == nil {
		explainNone(w, dir, copies)
		return
	}
	st, err := pipeline.Decode(best.Payload)
	if err != nil {
		fmt.Fprintf(w, "state: %v: counters begin at 0, files are read from their ends\n", err)
		return
	}
	explainContent(w, st)
}

// explainNone says what the next start makes of a directory without a copy that can be used.
func explainNone(w io.Writer, dir string, copies []checkpoint.Copy) {
	missing := errors.Is(copies[0].Err, fs.ErrNotExist) && errors.Is(copies[1].Err, fs.ErrNotExist)
	switch {
	case errors.Is(errors.Join(copies[0].Err, copies[1].Err), fs.ErrPermission):
		fmt.Fprintln(w, "state: this user may not read it; check as the user that the exporter runs as")
	case missing && checkpoint.Aside(dir):
		fmt.Fprintln(w, "state: set aside, and nothing saved since: "+
			"counters begin at 0, files are read from their ends")
	case missing:
		fmt.Fprintln(w, "state: nothing saved yet: counters begin at 0, and FILE_START says where files begin")
	default:
		fmt.Fprintln(w, "state: no copy can be trusted: counters begin at 0, files are read from their ends")
	}
}

func explainContent(w io.Writer, st *pipeline.Checkpoint) {
	received := uint64(0)
	for _, in := range st.Books.Inputs {
		received += in.Received
	}
	fmt.Fprintf(w, "state: %d messages received since %s, %d hosts, %d sessions running or lately ended\n", received,
		time.Unix(0, st.Books.Start).Format(time.RFC3339), len(st.Books.Hosts), len(st.Sessions.Sessions))
	for i := range st.Followed.Files {
		f := &st.Followed.Files[i]
		fmt.Fprintf(w, "state: file %q, %d rotations, %d files remembered, %d of them followed:\n",
			f.Path, f.Rotations, len(f.Positions), f.Followed)
		for _, p := range f.Positions[len(f.Positions)-f.Followed:] {
			fmt.Fprintf(w, "state:   %s: read to byte %d\n", identity(p.ID), p.Offset)
		}
	}
}

// identity names a file as ls -i and stat do.
func identity(id receiver.FileID) string {
	s := fmt.Sprintf("inode %d of device %d", id.Inode, id.Device)
	if id.Birth != 0 {
		s += ", made " + time.Unix(0, id.Birth).Format(time.RFC3339Nano)
	}
	return s
}
