// Command manybuilds builds one directory several times at once, on one connection and with one session for all of
// them, and goes on with the others when one fails: neither buildctl nor buildx does that.
//
//	manybuilds ADDRESS DIRECTORY COUNT SECONDS
//
// Each build gets its number as build argument ID, and SECONDS. What steps print goes to stdout, and a line of JSON as
// each build ends: {"build": 0, "ref": "…", "error": ""}.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"

	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/identity"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/session/filesync"
	"github.com/tonistiigi/fsutil"
)

type ending struct {
	Build int    `json:"build"`
	Ref   string `json:"ref"`
	Error string `json:"error"`
}

var printing sync.Mutex

func printLine(text []byte) {
	printing.Lock()
	defer printing.Unlock()
	fmt.Println(string(text))
}

func build(ctx context.Context, c *client.Client, s *session.Session, number int, seconds string) ending {
	ended := ending{Build: number, Ref: identity.NewID()}
	status := make(chan *client.SolveStatus)
	go func() {
		for update := range status {
			for _, log := range update.Logs {
				printLine(bytes.TrimSpace(log.Data))
			}
		}
	}()
	_, err := c.Solve(ctx, nil, client.SolveOpt{
		Frontend:              "dockerfile.v0",
		FrontendAttrs:         map[string]string{"build-arg:ID": strconv.Itoa(number), "build-arg:SECONDS": seconds},
		SharedSession:         s,
		SessionPreInitialized: true,
		Ref:                   ended.Ref,
	}, status)
	if err != nil {
		ended.Error = err.Error()
	}
	return ended
}

func run(address, directory, count, seconds string) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	builds, err := strconv.Atoi(count)
	if err != nil {
		return err
	}
	c, err := client.New(ctx, address)
	if err != nil {
		return err
	}
	defer c.Close()
	files, err := fsutil.NewFS(directory)
	if err != nil {
		return err
	}
	s, err := session.NewSession(ctx, "manybuilds")
	if err != nil {
		return err
	}
	s.Allow(filesync.NewFSSyncProvider(filesync.StaticDirSource{"context": files, "dockerfile": files}))
	go s.Run(ctx, c.Dialer())
	defer s.Close()

	var running sync.WaitGroup
	for i := range builds {
		running.Go(func() {
			line, _ := json.Marshal(build(ctx, c, s, i, seconds))
			printLine(line)
		})
	}
	running.Wait()
	return nil
}

func main() {
	err := errors.New("usage: manybuilds ADDRESS DIRECTORY COUNT SECONDS")
	if len(os.Args) == 5 {
		err = run(os.Args[1], os.Args[2], os.Args[3], os.Args[4])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
