package follow

import (
	"cmp"
	"maps"

	"rsyncd_exporter/receiver"
)

// Options are the settings of a File.
type Options struct {
	SetOptions
	Path string
}

// A File is a Set of one path, for tests that look into one.
type File struct {
	*Set
	*target
}

func newFile(src receiver.Source, opt Options, sink receiver.Sink) (*File, error) {
	opt.answer = cmp.Or(opt.answer, nothingHangs)
	opt.Paths, opt.unsettled = []string{QuotePattern(opt.Path)}, true
	opt.Source = func(string, uint32) receiver.Source { return src }
	s, err := NewSet(opt.SetOptions, sink)
	if err != nil {
		return nil, err
	}
	return &File{s, s.targets[0]}, nil
}

// look looks at the path alone, as an event would have it done.
func (f *File) look() { f.target.look() }

func (f *File) String() string { return f.target.String() }

func (f *File) Status() Status { return f.target.status() }

// clock is monotonic.
func (f *File) clock() int64 { return f.Set.clock() }

// lookSoon does what an event does.
func (f *File) lookSoon() {
	f.target.wake()
	poke(f.Set.wake)
}

// Twins maps each path that leads to a file of another path to that path. Twins count nothing.
func (s *Set) Twins() map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	twins := map[string]string{}
	for _, t := range s.targets {
		if twin := t.twinOf(); twin != "" {
			twins[t.path] = twin
		}
	}
	for _, p := range s.patterns {
		maps.Copy(twins, p.twins)
	}
	return twins
}
