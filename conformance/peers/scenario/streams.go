package scenario

import (
	"errors"
	"fmt"
	"sync"
)

// one opens a stream as a client, and accepts one as a server.
func (r *run) one() (Stream, error) {
	r.at("a stream to begin with")
	open := r.session.Accept
	if r.Client {
		open = r.session.Open
	}
	stream, err := open()
	if err == nil {
		r.streams.Add(1)
	}
	return stream, err
}

// closeOne closes a stream of one as its opener, or after the end that its opener makes.
func (r *run) closeOne(stream Stream, failed error) error {
	if failed != nil {
		return nil
	}
	r.at("the end of the stream")
	if r.Client {
		return stream.Close()
	}
	return errors.Join(takeEnd(stream), stream.Close())
}

// openAll opens streams, so many at a time, and has each one's bytes echoed.
func (r *run) openAll(count, width int, what func(i int64) (salt, bytes int64)) error {
	room := make(chan struct{}, width)
	return all(count, func(i int, start func(func() error)) error {
		room <- struct{}{}
		stream, err := r.session.Open()
		if err != nil {
			return fmt.Errorf("opening stream %d: %w", i, err)
		}
		r.streams.Add(1)
		start(func() error {
			defer func() { <-room }()
			salt, total := what(int64(i))
			err := both(
				func() error { return r.send(stream, salt, total) },
				func() error { return r.take(stream, salt, total) })
			if err = errors.Join(err, stream.Close()); err != nil {
				return fmt.Errorf("own stream %d: %w", i, err)
			}
			return nil
		})
		return nil
	})
}

// serve accepts so many streams and echoes each to its end.
func (r *run) serve(count int) error {
	return all(count, func(i int, start func(func() error)) error {
		stream, err := r.session.Accept()
		if err != nil {
			return fmt.Errorf("accepting stream %d: %w", i, err)
		}
		r.streams.Add(1)
		start(func() error {
			if err := errors.Join(r.echo(stream), stream.Close()); err != nil {
				return fmt.Errorf("accepted stream %d: %w", i, err)
			}
			return nil
		})
		return nil
	})
}

// all begins so many things in order, each of which starts a task, and waits for the tasks.
func all(count int, begin func(i int, start func(func() error)) error) error {
	var (
		tasks sync.WaitGroup
		lock  sync.Mutex
		first error
	)
	note := func(err error) {
		lock.Lock()
		defer lock.Unlock()
		if first == nil {
			first = err
		}
	}
	for i := range count {
		err := begin(i, func(task func() error) { tasks.Go(func() { note(task()) }) })
		if err != nil {
			note(err)
			break
		}
	}
	tasks.Wait()
	return first
}

// finish ends the connection as ../README.md says, after what went before.
func (r *run) finish(before error) error {
	if before != nil {
		return before
	}
	if r.Client {
		r.at("the last stream")
		last, err := r.session.Open()
		if err != nil {
			return err
		}
		// The server may have ended the connection before this returns.
		_, _ = last.Write([]byte{0})
		r.at("the end of the connection")
		if _, err := r.session.Accept(); err == nil {
			return errors.New("a stream instead of the end of the connection")
		}
		_ = r.session.Close()
		return nil
	}
	r.at("the last stream")
	last, err := r.session.Accept()
	if err != nil {
		return err
	}
	if _, err := last.Read(make([]byte, 1)); err != nil {
		return err
	}
	r.at("the end of the connection")
	return r.session.Close()
}
