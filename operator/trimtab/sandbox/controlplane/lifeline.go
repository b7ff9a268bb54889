package main

import (
	"fmt"
	"os"
	"strconv"
)

const lifelineVariable = "TRIMTAB_LIFELINE_FD"

// holdLifeline ends this process when the pipe that TRIMTAB_LIFELINE_FD names reaches its end, which the kernel sees
// to when the owner of the other end is gone, however it went. One byte read instead sets this process free.
func holdLifeline() {
	text, set := os.LookupEnv(lifelineVariable)
	if !set {
		return
	}
	_ = os.Unsetenv(lifelineVariable)
	fd, err := strconv.Atoi(text)
	if err != nil || fd <= 2 {
		fmt.Fprintf(os.Stderr, "%s=%q is not a file descriptor\n", lifelineVariable, text)
		os.Exit(2)
	}
	go func() {
		pipe := os.NewFile(uintptr(fd), "lifeline")
		// Several components share the pipe, each takes one byte: never more.
		if count, _ := pipe.Read(make([]byte, 1)); count == 1 {
			_ = pipe.Close()
			return
		}
		fmt.Fprintln(os.Stderr, "the owner of this sandbox is gone: exiting")
		os.Exit(0)
	}()
}
