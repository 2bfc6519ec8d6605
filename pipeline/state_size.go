package pipeline

import (
	"bytes"
	"encoding/gob"
	"fmt"
	"reflect"
)

// A State that was made up can name millions of sessions, hosts or users in as many bytes, since gob writes one of which
// nothing is known as a single byte. Decoded each takes hundreds. So they are counted first.
const (
	stateGrowth = 16        // memory of what is in the lists for each byte of the payload; real states come to 4
	stateSlack  = 1 << 20   // for small ones
	mostState   = 512 << 20 // of any
)

// checkSize returns an error if the lists in a payload, decoded, take more memory than a real State's do.
func checkSize(payload []byte) error {
	limit := min(stateSlack+stateGrowth*len(payload), mostState)
	whole := reflect.TypeFor[encoded]()
	size := 0
	for depth := 0; ; depth++ {
		outline, deeper := outlineOf(whole, depth)
		v := reflect.New(outline)
		if err := gob.NewDecoder(bytes.NewReader(payload)).DecodeValue(v); err != nil {
			return fmt.Errorf("decoding it: %w", err)
		}
		size += sizeAt(v.Elem(), whole, depth)
		if size > limit {
			return fmt.Errorf("its %d bytes hold lists of more than %d bytes of memory, which no state does", len(payload), limit)
		}
		if !deeper {
			return nil
		}
	}
}

// outlineOf returns a type into which gob decodes the lists of t, down to a depth, and next to nothing else: of
// what is in the deepest lists only the smallest field. deeper says that there are lists further down.
func outlineOf(t reflect.Type, depth int) (outline reflect.Type, deeper bool) {
	var fields []reflect.StructField
	for i := range t.NumField() {
		f := t.Field(i)
		inner, isList := f.Type, isStructs(f.Type)
		switch {
		case isList && depth == 0:
			inner, deeper = reflect.SliceOf(smallest(f.Type.Elem())), deeper || hasLists(f.Type.Elem())
		case isList || f.Type.Kind() == reflect.Struct && hasLists(f.Type):
			below := depth
			if isList {
				inner, below = f.Type.Elem(), depth-1
			}
			o, more := outlineOf(inner, below)
			if inner, deeper = o, deeper || more; isList {
				inner = reflect.SliceOf(o)
			}
		default:
			continue
		}
		fields = append(fields, reflect.StructField{Name: f.Name, Type: inner})
	}
	if len(fields) == 0 {
		return smallest(t), deeper
	}
	return reflect.StructOf(fields), deeper
}

func isStructs(t reflect.Type) bool {
	return t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Struct
}

// hasLists reports whether there are lists in a struct.
func hasLists(t reflect.Type) bool {
	for i := range t.NumField() {
		f := t.Field(i).Type
		if isStructs(f) || f.Kind() == reflect.Struct && hasLists(f) {
			return true
		}
	}
	return false
}

// smallest returns a struct of one field of t, since gob takes none without.
func smallest(t reflect.Type) reflect.Type {
	best := t.Field(0)
	for i := range t.NumField() {
		if f := t.Field(i); f.Type.Size() < best.Type.Size() {
			best = f
		}
	}
	return reflect.StructOf([]reflect.StructField{{Name: best.Name, Type: best.Type}})
}

// sizeAt returns what the elements of the lists at a depth take, of a value whose outline v is.
func sizeAt(v reflect.Value, t reflect.Type, depth int) (size int) {
	for i := range v.NumField() {
		f, ok := t.FieldByName(v.Type().Field(i).Name)
		if !ok {
			continue
		}
		switch {
		case !isStructs(f.Type):
			if f.Type.Kind() == reflect.Struct {
				size += sizeAt(v.Field(i), f.Type, depth)
			}
		case depth == 0:
			size += v.Field(i).Len() * int(f.Type.Elem().Size())
		default:
			for j := range v.Field(i).Len() {
				size += sizeAt(v.Field(i).Index(j), f.Type.Elem(), depth-1)
			}
		}
	}
	return size
}
