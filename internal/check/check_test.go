package check_test

import (
	"crypto/tls"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/sr/srfake"

	"github.com/clientevents/clientevents/emulator"
	"github.com/clientevents/clientevents/internal/check"
	"github.com/clientevents/clientevents/internal/config"
	"github.com/clientevents/clientevents/internal/googleauth/tokenserver"
	"github.com/clientevents/clientevents/test/kafkatest"
	"github.com/clientevents/clientevents/test/pipenet"
)

// timeout is short, because some servers here never answer, and long enough for
// those that do on a machine with other work.
const timeout = time.Second

// checkWith runs a check with what the environment variables say (the prefix is
// added), and returns its lines.
func checkWith(t *testing.T, more ...string) (lines []string, sound bool) {
	t.Helper()
	environ := []string{
		"KAFKA_BROKERS=127.0.0.1:1", "KAFKA_TOPIC=events", "KAFKA_GROUP=group",
		"API_ENDPOINT=http://127.0.0.1:1", "API_VERSION=v4", "API_PARENT=projects/p/tenants/t", "API_CREDENTIALS=none",
	}
	environ = append(environ, more...)
	for i := range environ {
		environ[i] = "CLIENTEVENTS_" + environ[i]
	}
	c, err := config.Load("", environ)
	if err != nil {
		t.Fatal(err)
	}
	sound = check.Run(t.Context(), c, check.Options{Timeout: timeout}, func(f check.Finding) {
		line := f.String()
		if strings.Contains(line, "\n") {
			t.Errorf("not one line: %q", line)
		}
		if f.Result == "FAIL" && f.Do == "" {
			t.Errorf("it does not say what to do: %s", line)
		}
		lines = append(lines, line)
	})
	return lines, sound
}

// wantLine wants a line that begins with one text and has the others in it.
func wantLine(t *testing.T, lines []string, begins string, has ...string) {
	t.Helper()
	for _, line := range lines {
		if strings.HasPrefix(line, begins) {
			for _, text := range has {
				if !strings.Contains(line, text) {
					t.Errorf("%s\n\twant %q in it", line, text)
				}
			}
			return
		}
	}
	t.Errorf("no line %q in\n\t%s", begins, strings.Join(lines, "\n\t"))
}

func TestCheckThatFindsNothing(t *testing.T) {
	c := kafkatest.Embedded(t)
	c.CreateTopic(t, "events", 3, nil)
	tokens := &tokenserver.Server{}
	tokenServer := httptest.NewServer(tokens)
	defer tokenServer.Close()
	tokens.URL = tokenServer.URL
	api := emulator.New(emulator.Options{KeepAll: true})
	server := httptest.NewServer(api)
	defer server.Close()
	for _, version := range []string{"v3", "v4beta1", "v4"} {
		parent := "projects/p/tenants/t"
		if version == "v3" {
			parent = "projects/p"
		}
		lines, sound := checkWith(t, "KAFKA_BROKERS="+strings.Join(c.Brokers, ","), "API_ENDPOINT="+server.URL, "API_VERSION="+version, "API_PARENT="+parent,
			"API_CREDENTIALS="+tokens.UserFile(t, filepath.Join(t.TempDir(), "user.json")))
		if !sound {
			t.Errorf("something is not in order:\n\t%s", strings.Join(lines, "\n\t"))
		}
		wantLine(t, lines, "ok    broker "+c.Brokers[0], "answers, without TLS, without a login")
		wantLine(t, lines, "ok    topic events", "3 partitions, 1 replica,")
		wantLine(t, lines, "note  topic events", "one replica")
		wantLine(t, lines, "note  dead-letter topic events.dead-letter", "does not exist yet")
		wantLine(t, lines, "ok    group group", "it has no members")
		wantLine(t, lines, "ok    parent", parent, version)
		wantLine(t, lines, "ok    credentials", "authorized user", "user.json", "quota project quota-project")
		wantLine(t, lines, "ok    token", "for 1h0m0s")
		wantLine(t, lines, "ok    clock", "agrees")
		wantLine(t, lines, "ok    endpoint "+server.URL, "rejected an empty event, as expected")
		wantLine(t, lines, "ok    batches "+server.URL+"/batch", "in a batch, as expected")
	}
	if n := api.Stats().Accepted; n != 0 {
		t.Errorf("%d events were created", n)
	}
}

func TestCheckOfCredentials(t *testing.T) {
	tokens := &tokenserver.Server{}
	tokenServer := httptest.NewServer(tokens)
	defer tokenServer.Close()
	tokens.URL = tokenServer.URL
	dir := t.TempDir()
	text := func(name, content string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	answer := func(status int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(status)
			fmt.Fprint(w, body)
		}
	}
	const refused = `{"error":"invalid_grant","error_description":"no"}`
	for name, test := range map[string]struct {
		file   string
		answer http.HandlerFunc
		line   string
		has    []string
	}{
		"not a file of credentials": {text("x.json", "{}"), nil, "FAIL  credentials", []string{"not a credentials file", "correct api.credentials"}},
		"whose they are":            {tokens.KeyFile(t, filepath.Join(dir, "key.json")), nil, "ok    credentials", []string{"service account " + tokenserver.Email, "key.json"}},
		"a key that was deleted":    {filepath.Join(dir, "key.json"), answer(400, refused), "FAIL  token", []string{"400 Bad Request: invalid_grant: no", "key was deleted"}},
		"a user who is logged out":  {tokens.UserFile(t, filepath.Join(dir, "user.json")), answer(400, refused), "FAIL  token", []string{"log in again"}},
		"a pool that refuses":       {tokens.WorkloadFile(t, filepath.Join(dir, "pool.json"), true), answer(400, refused), "FAIL  token", []string{"workload identity"}},
		"no permission to be it":    {tokens.ImpersonatedFile(t, filepath.Join(dir, "as.json")), answer(403, `{"error":{"code":403,"message":"no","status":"PERMISSION_DENIED"}}`), "FAIL  token", []string{"serviceAccountTokenCreator"}},
		"a token server that fails": {filepath.Join(dir, "key.json"), answer(500, ""), "FAIL  token", []string{"500", "HTTPS_PROXY"}},
		"the wrong scope":           {filepath.Join(dir, "user.json"), answer(200, `{"access_token":"t","token_type":"Bearer","expires_in":10,"scope":"openid email"}`), "FAIL  token", []string{"it is for scope openid email", "auth application-default login --scopes"}},
	} {
		t.Run(name, func(t *testing.T) {
			tokens.Misbehave(test.answer)
			lines, _ := checkWith(t, "API_CREDENTIALS="+test.file)
			wantLine(t, lines, test.line, test.has...)
		})
	}
	tokens.Misbehave(nil)
	tokens.Clock = 2 * time.Hour
	lines, _ := checkWith(t, "API_CREDENTIALS="+filepath.Join(dir, "key.json"))
	wantLine(t, lines, "FAIL  token", "this machine's clock is 2h0m0s behind the server's", "correct this machine's clock")
}

func TestCheckOfMetadataServer(t *testing.T) {
	tokens := &tokenserver.Server{}
	tokenServer := httptest.NewServer(tokens)
	defer tokenServer.Close()
	t.Setenv("HOME", t.TempDir())
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", "")
	t.Setenv("GCE_METADATA_HOST", strings.TrimPrefix(tokenServer.URL, "http://"))
	lines, _ := checkWith(t, "API_CREDENTIALS=default")
	wantLine(t, lines, "ok    credentials", "metadata server "+tokenserver.Email+", of this machine")
	wantLine(t, lines, "ok    token", "")
}

func TestCheckOfEndpoint(t *testing.T) {
	t.Parallel()
	status := func(code int, body string, headers ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			for _, h := range headers {
				name, value, _ := strings.Cut(h, ": ")
				w.Header().Set(name, value)
			}
			w.WriteHeader(code)
			fmt.Fprint(w, body)
		}
	}
	info := func(reason, consumer string) string {
		return fmt.Sprintf(`{"error":{"code":403,"message":"no","status":"PERMISSION_DENIED","details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":%q,"domain":"googleapis.com","metadata":{"consumer":%q}}]}}`, reason, consumer)
	}
	for name, test := range map[string]struct {
		answer http.HandlerFunc
		line   string
		has    []string
	}{
		"another protocol": {func(w http.ResponseWriter, _ *http.Request) { pipenet.SwitchProtocols(t, w) }, "FAIL  endpoint", []string{"101"}},
		"no token":         {status(401, ""), "FAIL  endpoint", []string{"401 Unauthorized", "does not accept the token"}},
		"API off":          {status(403, info("SERVICE_DISABLED", "projects/123")), "FAIL  endpoint", []string{"gcloud services enable jobs.googleapis.com --project 123"}},
		"scope":            {status(403, info("ACCESS_TOKEN_SCOPE_INSUFFICIENT", "")), "FAIL  endpoint", []string{"auth/jobs"}},
		"billing":          {status(403, info("BILLING_DISABLED", "")), "FAIL  endpoint", []string{"billing for project p"}},
		"quota project":    {status(403, info("USER_PROJECT_DENIED", "")), "FAIL  endpoint", []string{"serviceUsageConsumer"}},
		"no such project":  {status(403, info("CONSUMER_INVALID", "")), "FAIL  endpoint", []string{"does not exist"}},
		"no permission":    {status(403, `{"error":{"status":"PERMISSION_DENIED","message":"denied"}}`), "FAIL  endpoint", []string{"403 Forbidden: denied", "grant the account a role", "projects/p/tenants/t"}},
		"no parent":        {status(404, `{"error":{"status":"NOT_FOUND","message":"no tenant."}}`), "FAIL  endpoint", []string{"no tenant. To do: ", "does api.parent exist", "api.version v4"}},
		"quota used up":    {status(429, ""), "note  endpoint", []string{"429", "events will wait"}},
		"a login page":     {status(302, "", "Location: https://login.example.com/"), "FAIL  endpoint", []string{"a redirect to https://login.example.com/", "which is not followed"}},
		"out of order":     {status(503, ""), "FAIL  endpoint", []string{"503", "try again later"}},
		"not the API":      {status(200, "<html>"), "FAIL  endpoint", []string{"it is not the API"}},
		"some web server":  {status(400, "what?"), "FAIL  endpoint", []string{"400 Bad Request", "check that api.endpoint is the API"}},
		"an hour ahead":    {status(400, "", "Date: "+time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat)), "FAIL  clock", []string{"1h0m0s ahead of the server's", "NTP"}},
		"an hour behind":   {status(400, "", "Date: "+time.Now().Add(time.Hour).UTC().Format(http.TimeFormat)), "FAIL  clock", []string{"behind the server's"}},
		"two minutes late": {status(400, "", "Date: "+time.Now().Add(2*time.Minute).UTC().Format(http.TimeFormat)), "note  clock", []string{"2m0s behind"}},
	} {
		t.Run(name, func(t *testing.T) {
			var seen *http.Request
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { seen = r; test.answer(w, r) }))
			defer server.Close()
			lines, sound := checkWith(t, "API_ENDPOINT="+server.URL, "API_QUOTA_PROJECT=payer")
			wantLine(t, lines, test.line, test.has...)
			if sound {
				t.Error("everything is in order")
			}
			if seen.URL.Path == "/batch" && !strings.HasSuffix(test.line, "clock") {
				t.Error("what was not refused alone was sent in a batch")
			}
			if h := seen.Header; h.Get("X-Goog-User-Project") != "payer" || !strings.HasPrefix(h.Get("X-Goog-Api-Client"), "gl-go/") || !strings.HasPrefix(h.Get("User-Agent"), "clientevents/") {
				t.Errorf("headers are %v", h)
			}
		})
	}
	secure := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(secure.Close)
	plain := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(plain.Close)
	for endpoint, has := range map[string][]string{
		"https" + strings.TrimPrefix(plain.URL, "http"): {"the port does not serve TLS", "http:// in api.endpoint"},
		"https://" + alerting(t):                        {"it closes the TLS connection: tls: internal error", "a client certificate"},
		"http://" + alerting(t):                         {"the port serves TLS", "use https://"},
		"http://" + hangingUp(t):                        {"it closes the connection without a response", "check api.endpoint"},
		"http://127.0.0.1:1":                            {"no server listens there", "HTTPS_PROXY"},
		"https://nowhere.invalid":                       {`there is no host "nowhere.invalid"`},
		secure.URL:                                      {"an authority that is not trusted", "SSL_CERT_FILE"},
		secure.URL + "/some/where":                      {"an authority that is not trusted"},
		"https://" + silent(t) + "/v1":                  {"no connection within"},
	} {
		t.Run(endpoint, func(t *testing.T) {
			t.Parallel() // one waits for an answer that does not come
			lines, _ := checkWith(t, "API_ENDPOINT="+endpoint)
			wantLine(t, lines, "FAIL  endpoint "+endpoint, has...)
		})
	}
}

// alerting is the address of what answers plain text as some TLS servers do.
func alerting(t *testing.T) string {
	return answering(t, []byte{0x15, 3, 3, 0, 2, 2, 80}) // an alert: internal error
}

// hangingUp is the address of what ends each connection without a word.
func hangingUp(t *testing.T) string { return answering(t, nil) }

// answering is the address of what reads a little, says something, and hangs up.
func answering(t *testing.T, something []byte) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Read(make([]byte, 4096))
			_, _ = conn.Write(something)
			conn.Close()
		}
	}()
	return l.Addr().String()
}

// TestCheckOfBatches asks endpoints that take an event alone.
func TestCheckOfBatches(t *testing.T) {
	const (
		refused  = `{"error":{"code":400,"message":"no id","status":"INVALID_ARGUMENT"}}`
		multi    = "multipart/mixed; boundary=b"
		creating = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
	)
	asked := func(part string) string {
		return "--b\r\nContent-Type: application/http\r\nContent-ID: <response-check+0>\r\n\r\n" + part + "\r\n--b--\r\n"
	}
	for name, test := range map[string]struct {
		status            int
		contentType, body string
		line              string
		has               []string
		sound             bool
	}{
		"not known":       {404, "", "", "note  batches", []string{"404", "each request has one event", "report.batch_size to 1"}, true},
		"not allowed":     {405, "", "", "note  batches", []string{"405"}, true},
		"quota used up":   {429, "", "", "note  batches", []string{"events will wait"}, true},
		"out of order":    {503, "", "", "FAIL  batches", []string{"503", "try again later"}, false},
		"forbidden":       {403, "", `{"error":{"message":"not here"}}`, "FAIL  batches", []string{"403 Forbidden: not here", "allow /batch"}, false},
		"a web page":      {200, "text/html", "<html>", "FAIL  batches", []string{`"text/html": expected multipart/mixed`}, false},
		"no part":         {200, multi, "--b--\r\n", "FAIL  batches", []string{"no part"}, false},
		"another part":    {200, multi, strings.Replace(asked(creating), "check+0", "check+1", 1), "FAIL  batches", []string{"check+1>, which was not requested"}, false},
		"no answer in it": {200, multi, asked("what?"), "FAIL  batches", []string{"not an HTTP response"}, false},
		"a torn part":     {200, multi, asked("HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{}"), "FAIL  batches", []string{"is incomplete"}, false},
		"not found in it": {200, multi, asked("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"), "FAIL  batches", []string{"within a batch, 404 Not Found", "report.batch_size to 1"}, false},
		"created in it":   {200, multi, asked(creating), "FAIL  batches", []string{"within a batch, 200 OK"}, false},
		"throttled in it": {200, multi, asked("HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\n\r\n"), "note  batches", []string{"events will wait"}, true},
		"refused, as due": {200, multi, asked(fmt.Sprintf("HTTP/1.1 400 Bad Request\r\nContent-Length: %d\r\n\r\n%s", len(refused), refused)), "ok    batches", nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/batch" {
					w.WriteHeader(http.StatusBadRequest)
					fmt.Fprint(w, refused)
					return
				}
				if body, _ := io.ReadAll(r.Body); !strings.Contains(string(body), "\nPOST /v4/projects/p/tenants/t/clientEvents HTTP/1.1\r\n") {
					t.Errorf("the batch is %q", body)
				}
				w.Header().Set("Content-Type", test.contentType)
				w.WriteHeader(test.status)
				fmt.Fprint(w, test.body)
			}))
			defer server.Close()
			c := kafkatest.Embedded(t)
			c.CreateTopic(t, "events", 1, nil)
			lines, sound := checkWith(t, "KAFKA_BROKERS="+c.Brokers[0], "API_ENDPOINT="+server.URL)
			wantLine(t, lines, test.line, test.has...)
			if sound != test.sound {
				t.Errorf("sound is %v in\n\t%s", sound, strings.Join(lines, "\n\t"))
			}
			lines, _ = checkWith(t, "KAFKA_BROKERS="+c.Brokers[0], "API_ENDPOINT="+server.URL, "REPORT_BATCH_SIZE=1")
			if last := lines[len(lines)-1]; strings.Contains(last, "batches") {
				t.Errorf("batches are not configured: %s", last)
			}
		})
	}
}

// silent is a port where somebody listens and says nothing.
func silent(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.Addr().String()
}

// TestCheckOfBrokers meets each of the brokers that are not what is configured.
func TestCheckOfBrokers(t *testing.T) {
	t.Parallel()
	web := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(web.Close)
	secureWeb := httptest.NewTLSServer(http.NotFoundHandler()) // for its certificate: of 127.0.0.1 and example.com
	t.Cleanup(secureWeb.Close)
	authority := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(authority, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secureWeb.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	password := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(password, []byte("wrong"), 0o600); err != nil {
		t.Fatal(err)
	}
	withTLS := &tls.Config{Certificates: secureWeb.TLS.Certificates}
	plain := kafkatest.Embedded(t).Brokers[0]
	secure := startFake(t, kfake.TLS(withTLS))
	login := startFake(t, kfake.EnableSASL(), kfake.Superuser("PLAIN", "user", "right"))
	_, port, _ := net.SplitHostPort(secure)
	tlsOn, trusting := "KAFKA_TLS_ENABLED=true", "KAFKA_TLS_CA_FILE="+authority
	asUser := []string{"KAFKA_SASL_USERNAME=user", "KAFKA_SASL_PASSWORD_FILE=" + password, "KAFKA_SASL_MECHANISM=plain"}
	for name, test := range map[string]struct {
		broker string
		with   []string
		result string
		has    []string
	}{
		"nobody":            {"127.0.0.1:1", nil, "FAIL", []string{"no server listens there", "kafka.brokers"}},
		"no host":           {"nowhere.invalid:9092", nil, "FAIL", []string{`there is no host "nowhere.invalid"`}},
		"silence":           {silent(t), nil, "FAIL", []string{"sent nothing for 500ms", "correct kafka.brokers"}},
		"silence, with TLS": {silent(t), []string{tlsOn}, "FAIL", []string{"does not serve TLS"}},
		"a web server":      {web.Listener.Addr().String(), nil, "FAIL", []string{"it is a web server"}},
		"TLS, without":      {secure, nil, "FAIL", []string{"TLS", "set kafka.tls.enabled to true"}},
		"no TLS, with":      {plain, []string{tlsOn}, "FAIL", []string{"the port does not serve TLS", "kafka.tls.enabled to false"}},
		"unknown authority": {secure, []string{tlsOn}, "FAIL", []string{"an authority that is not trusted", "kafka.tls.ca_file"}},
		"wrong name":        {"localhost:" + port, []string{tlsOn, trusting}, "FAIL", []string{"its certificate is for another name", "localhost"}},
		"TLS":               {secure, []string{tlsOn, trusting}, "ok", []string{"answers, with TLS"}},
		"a login is wanted": {login, nil, "FAIL", []string{"it requires a login", "kafka.sasl.mechanism"}},
		"wrong password":    {login, asUser, "FAIL", []string{"refuses the login", "kafka.sasl.username and the password"}},
		"unknown mechanism": {login, append(asUser[:2:2], "KAFKA_SASL_MECHANISM=scram-sha-512"), "FAIL", []string{"login"}},
		"right password":    {login, append(asUser, "KAFKA_SASL_PASSWORD=right"), "ok", []string{`with a login as "user" by plain`}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // some wait for an answer that does not come
			lines, _ := checkWith(t, append([]string{"KAFKA_BROKERS=" + test.broker}, test.with...)...)
			wantLine(t, lines, fmt.Sprintf("%-5s broker %s", test.result, test.broker), test.has...)
		})
	}
}

// startFake starts a broker that the helpers of kafkatest can't talk to.
func startFake(t *testing.T, opts ...kfake.Opt) string {
	t.Helper()
	fake, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(fake.Close)
	return fake.ListenAddrs()[0]
}

func TestCheckOfTopics(t *testing.T) {
	c := kafkatest.Embedded(t)
	brokers := "KAFKA_BROKERS=" + c.Brokers[0]
	c.CreateTopic(t, "plain", 2, nil)
	c.CreateTopic(t, "compacted", 2, map[string]string{"cleanup.policy": "compact"})
	c.CreateTopic(t, "unwritable", 2, map[string]string{"min.insync.replicas": "2"})
	c.CreateTopic(t, "unclean", 2, map[string]string{"cleanup.policy": "compact", "unclean.leader.election.enable": "true"})
	c.CreateTopic(t, "small", 2, map[string]string{"max.message.bytes": "5000"})
	c.CreateTopic(t, "three", 3, map[string]string{"cleanup.policy": "compact"})
	for name, test := range map[string]struct {
		with []string
		line string
		has  []string
	}{
		"absent":                  {[]string{"KAFKA_TOPIC=absent"}, "FAIL  topic absent", []string{"does not exist", "create it with 'clientevents topics create' or correct kafka.topic"}},
		"compacted source":        {[]string{"KAFKA_TOPIC=compacted"}, "note  topic compacted: it is", []string{"only the last event per key"}},
		"compacted dead letters":  {[]string{"KAFKA_TOPIC=plain", "KAFKA_DEAD_LETTER_TOPIC=compacted"}, "FAIL  dead-letter topic compacted", []string{"only the last would stay"}},
		"unwritable dead letters": {[]string{"KAFKA_TOPIC=plain", "KAFKA_DEAD_LETTER_TOPIC=unwritable"}, "FAIL  dead-letter topic unwritable", []string{"min.insync.replicas is 2 and it has 1 replica:"}},
		"small dead letters":      {[]string{"KAFKA_TOPIC=plain", "KAFKA_DEAD_LETTER_TOPIC=small"}, "FAIL  dead-letter topic small", []string{"its max.message.bytes is 5000", "of the source topic plain is 1048588", "33619968"}},
		"unclean state":           {[]string{"KAFKA_TOPIC=plain", "KAFKA_STATE_TOPIC=unclean"}, "note  state topic unclean: unclean", []string{"can be lost"}},
		"other partitions":        {[]string{"KAFKA_TOPIC=three", "KAFKA_STATE_TOPIC=compacted"}, "note  state topic compacted: it has", []string{"2 partitions and the source topic three has 3", "run adds them"}},
		"state that deletes":      {[]string{"KAFKA_TOPIC=compacted", "KAFKA_STATE_TOPIC=plain"}, "FAIL  state topic plain", []string{"cleanup.policy"}},
	} {
		t.Run(name, func(t *testing.T) {
			lines, _ := checkWith(t, append([]string{brokers}, test.with...)...)
			wantLine(t, lines, test.line, test.has...)
		})
	}
}

func TestCheckOfSchemaRegistry(t *testing.T) {
	t.Parallel()
	fake := srfake.New(srfake.WithAuth("Basic dTpw"))
	t.Cleanup(fake.Close)
	password := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(password, []byte("p\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	lines, _ := checkWith(t, "INPUT_FORMAT=avro", "INPUT_REGISTRY_URL="+fake.URL(), "INPUT_REGISTRY_USERNAME=u", "INPUT_REGISTRY_PASSWORD_FILE="+password)
	wantLine(t, lines, "ok    schema registry "+fake.URL(), "answers")
	lines, sound := checkWith(t, "INPUT_FORMAT=avro", "INPUT_REGISTRY_URL="+fake.URL())
	wantLine(t, lines, "FAIL  schema registry "+fake.URL(), "HTTP 401", "input.registry.url")
	if sound {
		t.Error("a registry that rejects the login is sound")
	}
	empty := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "{}") }))
	t.Cleanup(empty.Close)
	lines, _ = checkWith(t, "INPUT_FORMAT=avro", "INPUT_REGISTRY_URL="+empty.URL)
	wantLine(t, lines, "FAIL  schema registry "+empty.URL, "without a schema")
	lines, _ = checkWith(t, "INPUT_FORMAT=avro", "INPUT_REGISTRY_URL=http://127.0.0.1:1")
	wantLine(t, lines, "FAIL  schema registry http://127.0.0.1:1", "refused")
}
