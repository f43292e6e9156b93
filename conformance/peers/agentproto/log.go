package main

import (
	"context"
	"fmt"
	"log/slog"
)

// levelTrace is below slog's lowest; the agent sends it all the same.
const levelTrace = slog.Level(-8)

// LogHandler is a slog handler whose records become Log frames (section 11).
type LogHandler struct {
	conn   *Conn
	prefix string
	attrs  []string
}

// Enabled is true for every level from trace up.
func (h *LogHandler) Enabled(_ context.Context, level slog.Level) bool { return level >= levelTrace }

// Handle sends one record. That it cannot be sent is nobody's business.
func (h *LogHandler) Handle(_ context.Context, record slog.Record) error {
	attrs := h.attrs[:len(h.attrs):len(h.attrs)]
	record.Attrs(func(attr slog.Attr) bool {
		attrs = append(attrs, h.text(attr))
		return true
	})
	log := &Log{Level: int(record.Level), Message: record.Message, Attrs: attrs}
	_ = h.conn.Send(Frame{Type: typeLog, Log: log})
	return nil
}

// WithAttrs gives a handler whose records all begin with these attributes.
func (h *LogHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	next := *h
	next.attrs = h.attrs[:len(h.attrs):len(h.attrs)]
	for _, attr := range attrs {
		next.attrs = append(next.attrs, h.text(attr))
	}
	return &next
}

// WithGroup gives a handler whose records' keys begin with a name and a dot.
func (h *LogHandler) WithGroup(name string) slog.Handler {
	next := *h
	if name != "" {
		next.prefix = h.prefix + name + "."
	}
	return &next
}

func (h *LogHandler) text(attr slog.Attr) string {
	return fmt.Sprintf("%s%s=%s", h.prefix, attr.Key, attr.Value.Resolve())
}

// trace logs at the lowest level.
func trace(log *slog.Logger, msg string, args ...any) {
	log.Log(context.Background(), levelTrace, msg, args...)
}
