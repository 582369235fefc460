package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/clientevents/clientevents/internal/admin"
	"github.com/clientevents/clientevents/internal/health"
	"github.com/clientevents/clientevents/internal/netx"
	"github.com/clientevents/clientevents/internal/terminal"
)

// adminClient sends requests to the admin port of a replica.
type adminClient struct {
	s         Streams
	url       *string
	tokenFile *string
}

func newAdminCommand(s Streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "admin " + adminNames(),
		Short: "Show a running replica's status or configuration; pause, resume or drain it",
		Long: `Send a request to the admin port of a running replica. Actions need the token of
its admin.token_file; status and config need none. docs/admin.md describes each action.`,
		Example: `  clientevents admin status
  clientevents admin pause --partition 3 --token-file token
  clientevents admin rate 50 --for 15m --url http://replica-2:9090 --token-file token`,
	}
	a := &adminClient{s: s}
	a.url = cmd.PersistentFlags().String("url", defaultAdmin, "the replica's admin `ADDRESS`")
	a.tokenFile = cmd.PersistentFlags().String("token-file", "", "the `FILE` that holds the token (default: $CLIENTEVENTS_ADMIN_TOKEN_FILE)")
	cmd.AddCommand(a.statusCommand(), a.configCommand())
	for _, o := range admin.Operations() {
		cmd.AddCommand(a.actionCommand(o))
	}
	onlySubcommands(cmd)
	return cmd
}

func (a *adminClient) statusCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "status", Short: "Show the status of a replica", Args: noArgs,
		Long: "Show the status of a replica; exit 1 if it is bad. With --json,\nshow the whole status, as at /status.",
	}
	asJSON := jsonFlag(cmd, "the whole status")
	w := watchFlags(cmd, a.s)
	watch := cmd.Flags().Bool("watch", false, "show it until Ctrl-C, as 'clientevents top' does")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if *watch {
			w.urls, w.json = []string{*a.url}, *asJSON
			return w.run(cmd.Context())
		}
		var whole json.RawMessage
		if err := a.ask(cmd, http.MethodGet, "/status", nil, &whole); err != nil {
			return err
		}
		var status admin.Status
		if err := json.Unmarshal(whole, &status); err != nil || status.Summary.Headline == "" {
			return fmt.Errorf("%s is not the admin port of clientevents: its /status has no summary", *a.url)
		}
		if *asJSON {
			if err := writeJSON(a.s.Out, whole); err != nil {
				return err
			}
		} else {
			fmt.Fprintln(a.s.Out, terminal.Lines(status.Summary.Text()))
		}
		if status.Summary.Level == health.Bad {
			return &silentError{exitFailed}
		}
		return nil
	}
	return cmd
}

func (a *adminClient) configCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "config", Short: "Show the effective configuration and the origin of each key", Args: noArgs,
		Long: "Show the effective configuration of a running replica. 'clientevents config show' shows that of a file.",
	}
	asJSON := jsonFlag(cmd, "each key")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		var c admin.Effective
		if err := a.ask(cmd, http.MethodGet, "/config", nil, &c); err != nil {
			return err
		}
		if *asJSON {
			return writeSettingsJSON(a.s.Out, c.Settings)
		}
		return writeSettings(a.s.Out, c.Settings)
	}
	return cmd
}

// adminNames lists the commands, for the usage line.
func adminNames() string {
	names := []string{"status", "config"}
	for _, o := range admin.Operations() {
		names = append(names, o.Name)
	}
	return strings.Join(names, "|")
}

// actionCommand returns the command of an admin action, with an argument or a flag for
// each parameter.
func (a *adminClient) actionCommand(o admin.Operation) *cobra.Command {
	cmd := &cobra.Command{Use: o.Name, Short: o.Help, Args: noArgs}
	var fill []func(args []string, params url.Values)
	for _, p := range o.Params {
		fill = append(fill, addParam(cmd, p))
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		params := url.Values{}
		for _, f := range fill {
			f(args, params)
		}
		return a.act(cmd, o, params)
	}
	return cmd
}

// addParam adds a parameter to the command, and returns the function that reads it.
func addParam(cmd *cobra.Command, p admin.Param) func(args []string, params url.Values) {
	switch p.Kind {
	case admin.PartitionFlag:
		cmd.Use += " [--" + p.Name + " N]"
		id := cmd.Flags().Int(p.Name, -1, p.Help)
		return func(_ []string, params url.Values) {
			if cmd.Flags().Changed(p.Name) {
				params.Set(p.Name, strconv.Itoa(*id))
			}
		}
	case admin.DurationFlag:
		d := cmd.Flags().Duration(p.Name, 15*time.Minute, p.Help)
		return func(args []string, params url.Values) {
			if !slices.Contains(args, admin.Default) {
				params.Set(p.Name, d.String())
			}
		}
	}
	cmd.Use += " " + p.Values
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) != 1 {
			return usage("expected one value: %s %s", cmd.CommandPath(), p.Values)
		}
		return nil
	}
	return func(args []string, params url.Values) { params.Set(p.Name, args[0]) }
}

// act requests an action and prints its result.
func (a *adminClient) act(cmd *cobra.Command, o admin.Operation, params url.Values) error {
	var answer admin.ActionAnswer
	if err := a.ask(cmd, http.MethodPost, o.Path(), params, &answer); err != nil {
		return err
	}
	if answer.Done {
		fmt.Fprintf(a.s.Out, "done: %s\n", answer.What)
	} else {
		fmt.Fprintf(a.s.Out, "in progress: %s; '%s status' shows when it is done\n", answer.What, cmd.Parent().CommandPath())
	}
	return nil
}

// adminTimeout bounds one answer, which waits until the action is complete.
const adminTimeout = 15 * time.Second

func (a *adminClient) ask(cmd *cobra.Command, method, path string, params url.Values, answer any) error {
	if err := adminURL(*a.url); err != nil {
		return err
	}
	base, err := url.Parse(*a.url)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(cmd.Context(), method, base.JoinPath(path).String(), strings.NewReader(params.Encode()))
	if err != nil {
		return err
	}
	if method == http.MethodPost {
		token, err := a.token()
		if err != nil {
			return err
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("Authorization", "Bearer "+token)
	}
	client := &http.Client{
		Timeout: adminTimeout,
		// A redirect could send the token to another server.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	resp, err := client.Do(req)
	if err = netx.Final(resp, err); err != nil {
		return fmt.Errorf("no answer from the replica: %w", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 16<<20))
	if err != nil {
		return err
	}
	if resp.StatusCode >= 300 {
		return refusedBy(resp, body)
	}
	if err := json.Unmarshal(body, answer); err != nil {
		return fmt.Errorf("%s is not the admin port of clientevents: %w", *a.url, err)
	}
	return nil
}

func refusedBy(resp *http.Response, body []byte) error {
	var answer admin.ActionAnswer
	if json.Unmarshal(body, &answer) != nil || answer.Error == "" {
		return fmt.Errorf("the replica answered %s", resp.Status)
	}
	return fmt.Errorf("the replica refused: %s", answer.Error)
}

// token reads the token from the file that --token-file names, or from that of the
// environment variable for the replica's own configuration.
func (a *adminClient) token() (string, error) {
	path := *a.tokenFile
	if path == "" {
		for _, v := range a.s.Environ {
			if value, ok := strings.CutPrefix(v, "CLIENTEVENTS_ADMIN_TOKEN_FILE="); ok {
				path = value
			}
		}
	}
	if path == "" {
		return "", usage("--token-file is required: the file that holds the token of the replica's admin.token_file")
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return "", usage("--token-file: %w", err)
	}
	return strings.TrimSpace(string(text)), nil
}
