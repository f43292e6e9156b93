package scenario

import (
	"errors"
	"os"
	"strings"
	"sync"
)

var scenarios = map[string]func(*run) error{
	"echo":       (*run).playEcho,
	"bulk":       (*run).playBulk,
	"short":      (*run).playShort,
	"half-close": (*run).playHalfClose,
	"ping":       (*run).playPing,
	"go-away":    (*run).playGoAway,
	"survive":    (*run).playLoss,
	"die":        (*run).playLoss,
}

var sizes = []int64{1, 64, 1000, 4096, 16384, 65536, 262145, 1000003}

func (r *run) playEcho() error {
	base := int64(1000)
	if r.Client {
		base = 0
	}
	r.at("the echo of all streams")
	err := both(
		func() error { return r.serve(r.Streams) },
		func() error {
			return r.openAll(r.Streams, r.Streams, func(i int64) (int64, int64) { return base + i, sizes[i%8] })
		})
	return r.finish(err)
}

func (r *run) playShort() error {
	r.at("short streams")
	if !r.Client {
		return r.finish(r.serve(r.Streams))
	}
	return r.finish(r.openAll(r.Streams, 64, func(i int64) (int64, int64) { return i % 1000, 64 }))
}

func (r *run) playBulk() error {
	return r.finish(r.bulk(r.Bytes, func(int64) {}))
}

// endless is more than any test moves.
const endless = 1 << 50

// bulk moves bytes both ways at once on one stream; seen is told what was read.
func (r *run) bulk(total int64, seen func(int64)) error {
	stream, err := r.one()
	if err != nil {
		return err
	}
	mine, theirs := int64(2), int64(1)
	if r.Client {
		mine, theirs = 1, 2
	}
	r.at("bytes both ways")
	// A server begins when the first bytes have come.
	begun := make(chan struct{})
	begin := sync.OnceFunc(func() { close(begun) })
	if r.Client {
		begin()
	}
	err = both(
		func() error {
			defer begin()
			_, err := r.takeSome(stream, theirs, total, func(received int64) {
				begin()
				seen(received)
			})
			if err != nil {
				_ = r.session.Close()
			}
			return err
		},
		func() error {
			<-begun
			return r.send(stream, mine, total)
		})
	return errors.Join(err, r.closeOne(stream, err))
}

func (r *run) playHalfClose() error {
	stream, err := r.one()
	if err != nil {
		return err
	}
	if r.Client {
		r.at("the question")
		if err := r.send(stream, 3, r.Bytes); err != nil {
			return err
		}
		if err := r.session.CloseWrite(stream); err != nil {
			return err
		}
		r.at("the answer")
		if err := r.take(stream, 4, r.Bytes); err != nil {
			return err
		}
		if r.Confirm {
			if err := r.confirm(); err != nil {
				return err
			}
		}
		r.at("the end of the answer")
		err := takeEnd(stream)
		_ = stream.Close()
		return r.finish(err)
	}
	r.at("the question")
	if err := r.take(stream, 3, r.Bytes); err != nil {
		return err
	}
	r.at("the end of the question")
	if err := takeEnd(stream); err != nil {
		return err
	}
	r.at("the answer")
	if err := r.send(stream, 4, r.Bytes); err != nil {
		return err
	}
	if r.Confirm {
		if err := r.confirm(); err != nil {
			return err
		}
	}
	return r.finish(stream.Close())
}

// confirm is the second stream of half-close.
func (r *run) confirm() error {
	r.at("the confirmation")
	stream, err := r.one()
	if err != nil {
		return err
	}
	if r.Client {
		err = r.send(stream, 0, 1)
	} else if err = r.take(stream, 0, 1); err == nil {
		err = takeEnd(stream)
	}
	return errors.Join(err, stream.Close())
}

func (r *run) playPing() error {
	stream, err := r.one()
	if err != nil {
		return err
	}
	if err := r.sendOrTake(stream); err != nil {
		return err
	}
	r.at("pings")
	if r.detail, err = r.session.Ping(r.Pings); err != nil {
		return err
	}
	r.at("the other side's pings")
	if err := errors.Join(r.send(stream, 0, 1), r.take(stream, 0, 1)); err != nil {
		return err
	}
	return r.finish(r.closeOne(stream, nil))
}

func (r *run) sendOrTake(stream Stream) error {
	if r.Client {
		return r.send(stream, 0, 1)
	}
	return r.take(stream, 0, 1)
}

func (r *run) playGoAway() error {
	stream, err := r.one()
	if err != nil {
		return err
	}
	r.at("the echo before the go-away")
	if err := r.echoByte(stream); err != nil {
		return err
	}
	r.at("the go-away")
	if r.Client {
		if err = r.session.GoAway(); err == nil {
			err = r.saidGoAway(stream)
		}
	} else {
		err = r.heardGoAway(stream)
	}
	if errors.Is(err, errOpened) {
		return err
	}
	r.outcome = "refused"
	if err != nil {
		r.outcome, r.detail = "ended", err.Error()
	}
	return nil
}

var errOpened = errors.New("a stream was opened behind the go-away")

func (r *run) heardGoAway(stream Stream) error {
	if err := r.take(stream, 0, 1); err != nil {
		return err
	}
	if _, err := r.session.Open(); err == nil {
		return errOpened
	} else if !errors.Is(err, ErrRefused) {
		return err
	}
	if err := r.send(stream, 0, 1); err != nil {
		return err
	}
	r.at("the second stream")
	return r.finish(errors.Join(r.serve(1), r.closeOne(stream, nil)))
}

func (r *run) saidGoAway(stream Stream) error {
	r.at("the echo behind the go-away")
	if err := r.echoByte(stream); err != nil {
		return err
	}
	second, err := r.one()
	if err != nil {
		return err
	}
	r.at("the second stream")
	if err := errors.Join(r.echoByte(second), second.Close()); err != nil {
		return err
	}
	return r.finish(r.closeOne(stream, nil))
}

// echoByte has a byte echoed as a client, and echoes one as a server.
func (r *run) echoByte(stream Stream) error {
	if r.Client {
		return errors.Join(r.send(stream, 0, 1), r.take(stream, 0, 1))
	}
	return errors.Join(r.take(stream, 0, 1), r.send(stream, 0, 1))
}

// playLoss is bulk without an end until this process or the other one dies. Once the reader knows, the session is closed:
// an implementation may leave its writer waiting for credit until a keep-alive fails.
func (r *run) playLoss() error {
	dies := r.Scenario == "die"
	err := r.bulk(endless, func(received int64) {
		if dies && received >= r.After {
			os.Exit(9)
		}
	})
	switch {
	case err == nil:
		return errors.New("nobody died")
	case strings.Contains(err.Error(), "wrong bytes"):
		return err
	case strings.Contains(err.Error(), "reading at") && strings.Contains(err.Error(), ": EOF"):
		r.outcome = "eof"
	default:
		r.outcome = "error"
	}
	r.detail = err.Error()
	return nil
}
