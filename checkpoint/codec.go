package checkpoint

import (
	"bytes"
	"encoding/gob"
	"fmt"
)

// A start is the beginning of each payload: the number of its format. A new field needs no new
// number, since gob knows fields by their names and an old payload leaves it 0. A field whose
// meaning changes does.
type start struct{ Format int }

// Encode returns a payload: the number of its format and a body that gob can encode.
func Encode(format int, body any) ([]byte, error) {
	var b bytes.Buffer
	to := gob.NewEncoder(&b)
	for _, v := range []any{start{format}, body} {
		if err := to.Encode(v); err != nil {
			return nil, fmt.Errorf("encoding the state: %w", err)
		}
	}
	return b.Bytes(), nil
}

// Format returns the number of a payload's format.
func Format(payload []byte) (int, error) {
	var s start
	if err := gob.NewDecoder(bytes.NewReader(payload)).Decode(&s); err != nil {
		return 0, fmt.Errorf("decoding the state: %w", err)
	}
	return s.Format, nil
}

// Decode reads the body that Encode wrote.
func Decode(payload []byte, body any) error {
	r := bytes.NewReader(payload)
	from := gob.NewDecoder(r)
	for _, v := range []any{&start{}, body} {
		if err := from.Decode(v); err != nil {
			return fmt.Errorf("decoding the state: %w", err)
		}
	}
	if r.Len() > 0 {
		return fmt.Errorf("decoding the state: %d bytes behind its end", r.Len())
	}
	return nil
}
