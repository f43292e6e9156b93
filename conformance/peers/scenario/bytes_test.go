package scenario

import (
	"bytes"
	"testing"
)

func TestTheTableBeginsAsThePageSaysAndASaltIsAnOffset(t *testing.T) {
	if got := expected(0, 0, 3); !bytes.Equal(got, []byte{0x41, 0x96, 0x27}) {
		t.Errorf("it begins %x", got)
	}
	if !bytes.Equal(expected(1, 0, chunk), expected(0, 257, chunk)) {
		t.Error("a salt is no offset")
	}
	if !bytes.Equal(expected(3, period-1, chunk), expected(0, 770, chunk)) {
		t.Error("the table does not repeat")
	}
}
