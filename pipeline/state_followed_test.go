package pipeline

import (
	"reflect"
	"testing"
)

// fill gives every field below v a value of its own that isn't zero.
func fill(v reflect.Value, next *uint64) {
	*next++
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i), next)
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 3, 3))
		for i := range v.Len() {
			fill(v.Index(i), next)
		}
	case reflect.Array:
		for i := range v.Len() {
			fill(v.Index(i), next)
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fill(key, next)
		fill(value, next)
		v.SetMapIndex(key, value)
	case reflect.String:
		v.SetString(string(rune('a' + *next%26)))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Uint8:
		v.SetUint(1 + *next%255)
	case reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uint:
		v.SetUint(*next)
	case reflect.Int, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(int64(*next))
	default:
		panic("nothing to fill a " + v.Type().String() + " with")
	}
}

// Whatever the receiver keeps of a file comes back: a field that the encoding forgets would be zero.
func TestEveryFieldOfAFollowedFileIsKept(t *testing.T) {
	p, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	_, st := p.Save()
	next := uint64(0)
	fill(reflect.ValueOf(&st.Followed).Elem(), &next)
	for i := range st.Followed.Files {
		st.Followed.Files[i].State.Followed = i
	}
	b, err := st.Encode()
	if err != nil {
		t.Fatal(err)
	}
	back, err := DecodeState(b)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(back.Followed, st.Followed) {
		t.Errorf("got  %+v\nwant %+v", back.Followed, st.Followed)
	}
}
