package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/clientevents/clientevents/internal/app"
)

// adminClient asks the admin port of a replica.
type adminClient struct {
	s         Streams
	url       *string
	tokenFile *string
}

func newAdminCommand(s Streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "admin status|pause|resume|drain|rate|log-level",
		Short: "See how a running replica fares, and pause, resume or drain it",
		Long: `Ask the admin port of one replica that runs. Actions need the token of its
admin.token_file; status needs none. docs/admin.md says what each action means.`,
		Example: `  clientevents admin status
  clientevents admin pause --partition 3 --token-file token
  clientevents admin rate 50 --for 15m --url http://replica-2:9090 --token-file token`,
	}
	a := &adminClient{s: s}
	a.url = cmd.PersistentFlags().String("url", "http://127.0.0.1:9090", "the replica's admin `ADDRESS`")
	a.tokenFile = cmd.PersistentFlags().String("token-file", "", "the `FILE` that holds the token (default: $CLIENTEVENTS_ADMIN_TOKEN_FILE)")
	cmd.AddCommand(a.statusCommand(), a.pauseCommand("pause", "Stop fetching a partition, or fetching and sending anything at all"),
		a.pauseCommand("resume", "Undo a pause: of a partition, or of the replica"), a.drainCommand(), a.rateCommand(), a.levelCommand())
	onlySubcommands(cmd)
	return cmd
}

func (a *adminClient) statusCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "status", Short: "Say in a sentence or two how the replica fares", Args: noArgs,
		Long: "Say in a sentence or two how the replica fares. Everything it says of itself is at /status, as JSON.",
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		var status app.Status
		if err := a.ask(cmd, http.MethodGet, "/status", nil, &status); err != nil {
			return err
		}
		fmt.Fprintln(a.s.Out, status.Summary.Headline)
		if status.Summary.Detail != "" {
			fmt.Fprintln(a.s.Out, status.Summary.Detail)
		}
		if status.Summary.Advice != "" {
			fmt.Fprintln(a.s.Out, "What to do: "+status.Summary.Advice)
		}
		return nil
	}
	return cmd
}

func (a *adminClient) pauseCommand(name, short string) *cobra.Command {
	cmd := &cobra.Command{Use: name + " [--partition N]", Short: short, Args: noArgs}
	partition := cmd.Flags().Int("partition", -1, "this partition alone, which the replica must have; its pause outlives rebalances and restarts")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		params := url.Values{}
		if cmd.Flags().Changed("partition") {
			params.Set("partition", strconv.Itoa(*partition))
		}
		return a.act(cmd, name, params)
	}
	return cmd
}

func (a *adminClient) drainCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "drain", Short: "Finish what is in flight, leave the group, and do nothing more", Args: noArgs}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return a.act(cmd, "drain", nil) }
	return cmd
}

func (a *adminClient) rateCommand() *cobra.Command {
	return a.overrideCommand("rate", "events_per_second", "EVENTS_PER_SECOND|default", "Let the replica report at another rate for a while")
}

func (a *adminClient) levelCommand() *cobra.Command {
	return a.overrideCommand("log-level", "level", "debug|info|warn|error|default", "Let the replica log more or less for a while")
}

func (a *adminClient) overrideCommand(name, param, values, short string) *cobra.Command {
	cmd := &cobra.Command{Use: name + " " + values, Short: short}
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) != 1 {
			return usage("want one value: %s %s", cmd.CommandPath(), values)
		}
		return nil
	}
	lasts := cmd.Flags().Duration("for", 15*time.Minute, "until the configured one holds again, at most 24h")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		params := url.Values{param: {args[0]}}
		if args[0] != "default" {
			params.Set("for", lasts.String())
		}
		return a.act(cmd, name, params)
	}
	return cmd
}

// act asks for an action and says what came of it.
func (a *adminClient) act(cmd *cobra.Command, name string, params url.Values) error {
	var answer app.ActionAnswer
	if err := a.ask(cmd, http.MethodPost, "/admin/"+name, params, &answer); err != nil {
		return err
	}
	if answer.Done {
		fmt.Fprintf(a.s.Out, "done: %s\n", answer.What)
	} else {
		fmt.Fprintf(a.s.Out, "under way: %s; '%s status' says when it is true\n", answer.What, cmd.Parent().CommandPath())
	}
	return nil
}

// adminTimeout is for one answer, which waits for the action to become true.
const adminTimeout = 15 * time.Second

func (a *adminClient) ask(cmd *cobra.Command, method, path string, params url.Values, answer any) error {
	base, err := url.Parse(*a.url)
	if err != nil || base.Host == "" || (base.Scheme != "http" && base.Scheme != "https") {
		return usage("--url: %q: want an http or https URL, such as http://127.0.0.1:9090", *a.url)
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
		// A redirect could lead the token elsewhere.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	resp, err := client.Do(req)
	if err != nil {
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
		return fmt.Errorf("%s does not answer as the admin port of clientevents does: %w", *a.url, err)
	}
	return nil
}

func refusedBy(resp *http.Response, body []byte) error {
	var answer app.ActionAnswer
	if json.Unmarshal(body, &answer) != nil || answer.Error == "" {
		return fmt.Errorf("the replica answers %s", resp.Status)
	}
	return fmt.Errorf("the replica refuses: %s", answer.Error)
}

// token reads the token of --token-file, or of the variable that configures the
// replica's own.
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
		return "", usage("--token-file: want the file that holds the token of the replica's admin.token_file")
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return "", usage("--token-file: %w", err)
	}
	return strings.TrimSpace(string(text)), nil
}
