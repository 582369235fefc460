package example;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.api.gax.core.NoCredentialsProvider;
import com.google.api.gax.rpc.DeadlineExceededException;
import com.google.api.gax.rpc.InvalidArgumentException;
import com.google.api.gax.rpc.NotFoundException;
import com.google.cloud.talent.v4.BatchCreateJobsRequest;
import com.google.cloud.talent.v4.ClientEvent;
import com.google.cloud.talent.v4.EventServiceClient;
import com.google.cloud.talent.v4.EventServiceSettings;
import com.google.cloud.talent.v4.Job;
import com.google.cloud.talent.v4.JobEvent;
import com.google.cloud.talent.v4.JobEvent.JobEventType;
import com.google.cloud.talent.v4.JobQuery;
import com.google.cloud.talent.v4.JobServiceClient;
import com.google.cloud.talent.v4.JobServiceSettings;
import com.google.cloud.talent.v4.ListJobsRequest;
import com.google.cloud.talent.v4.RequestMetadata;
import com.google.cloud.talent.v4.SearchJobsRequest;
import com.google.cloud.talent.v4.SearchJobsResponse;
import com.google.cloud.talent.v4.TenantName;
import com.google.protobuf.FieldMask;
import com.google.protobuf.Timestamp;
import io.grpc.ManagedChannelBuilder;
import java.net.URI;
import java.net.URLEncoder;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.stream.IntStream;
import java.util.stream.StreamSupport;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** An application's tests, with both transports of the client. The default is gRPC. */
class ApplicationTest {
  private static final String EMULATOR = System.getenv().getOrDefault("EMULATOR", "127.0.0.1:8080");
  private static final String PARENT = TenantName.of("demo", "default").toString();
  private static final String COMPANY = PARENT + "/companies/acme";

  static EventServiceClient events() throws Exception {
    return EventServiceClient.create(EventServiceSettings.newBuilder()
        .setTransportChannelProvider(EventServiceSettings.defaultGrpcTransportProviderBuilder()
            .setEndpoint(EMULATOR)
            .setChannelConfigurator(ManagedChannelBuilder::usePlaintext)
            .build())
        .setCredentialsProvider(NoCredentialsProvider.create())
        .build());
  }

  static EventServiceClient eventsOverRest() throws Exception {
    return EventServiceClient.create(EventServiceSettings.newHttpJsonBuilder()
        .setEndpoint("http://" + EMULATOR)
        .setCredentialsProvider(NoCredentialsProvider.create())
        .build());
  }

  static EventServiceClient events(String transport) throws Exception {
    return transport.equals("grpc") ? events() : eventsOverRest();
  }

  private static JobServiceSettings.Builder settings(String transport) {
    if (transport.equals("rest")) {
      return JobServiceSettings.newHttpJsonBuilder().setEndpoint("http://" + EMULATOR)
          .setCredentialsProvider(NoCredentialsProvider.create());
    }
    return JobServiceSettings.newBuilder()
        .setTransportChannelProvider(JobServiceSettings.defaultGrpcTransportProviderBuilder()
            .setEndpoint(EMULATOR).setChannelConfigurator(ManagedChannelBuilder::usePlaintext).build())
        .setCredentialsProvider(NoCredentialsProvider.create());
  }

  private static JobServiceClient jobs(String transport) throws Exception {
    return JobServiceClient.create(settings(transport).build());
  }

  private static SearchJobsResponse search(JobServiceClient jobs, String query) {
    return jobs.searchJobsCallable().call(SearchJobsRequest.newBuilder()
        .setParent(PARENT)
        .setRequestMetadata(RequestMetadata.newBuilder().setAllowMissingIds(true))
        .setJobQuery(JobQuery.newBuilder().setQuery(query))
        .build());
  }

  private static ClientEvent event(String id, JobEventType type, SearchJobsResponse found) {
    return ClientEvent.newBuilder()
        .setRequestId(found.getMetadata().getRequestId())
        .setEventId(id)
        .setCreateTime(Timestamp.newBuilder().setSeconds(Instant.now().getEpochSecond()))
        .setJobEvent(JobEvent.newBuilder().setType(type).addJobs(found.getMatchingJobs(0).getJob().getName()))
        .build();
  }

  private static Job posting(String requisitionId) {
    return Job.newBuilder()
        .setCompany(COMPANY).setRequisitionId(requisitionId).setTitle("Smith").setDescription("Anvils").build();
  }

  private static String http(String method, String path) throws Exception {
    HttpRequest request = HttpRequest.newBuilder(URI.create("http://" + EMULATOR + path))
        .method(method, HttpRequest.BodyPublishers.noBody()).build();
    return HttpClient.newHttpClient().send(request, BodyHandlers.ofString()).body();
  }

  @BeforeEach
  void reset() throws Exception {
    http("POST", "/emulator/reset");
  }

  @ParameterizedTest
  @ValueSource(strings = {"grpc", "rest"})
  void aViewIsReported(String transport) throws Exception {
    try (JobServiceClient jobs = jobs(transport); EventServiceClient events = events(transport)) {
      var found = search(jobs, "baker");
      events.createClientEvent(PARENT, event("view-1", JobEventType.VIEW, found));
      String sent = http("GET", "/emulator/events?wait=5s&count=1&request_id="
          + URLEncoder.encode(found.getMetadata().getRequestId(), StandardCharsets.UTF_8));
      assertTrue(sent.contains("\"eventId\": \"view-1\""), sent);
      assertFalse(sent.contains("warnings"), sent);
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"grpc", "rest"})
  void eventsOfEveryType(String transport) throws Exception {
    try (JobServiceClient jobs = jobs(transport); EventServiceClient events = events(transport)) {
      var found = search(jobs, "baker");
      for (JobEventType type : JobEventType.values()) {
        if (type == JobEventType.UNRECOGNIZED) {
          continue;
        }
        var event = event(type.name(), type, found);
        if (type == JobEventType.JOB_EVENT_TYPE_UNSPECIFIED) {
          assertThrows(InvalidArgumentException.class, () -> events.createClientEvent(PARENT, event));
        } else {
          assertEquals(event, events.createClientEvent(PARENT, event));
        }
      }
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"grpc", "rest"})
  void theLifeOfAJob(String transport) throws Exception {
    try (JobServiceClient jobs = jobs(transport)) {
      Job job = jobs.createJob(PARENT, posting("life"));
      assertEquals(job, jobs.getJob(job.getName()));
      job = jobs.updateJob(job.toBuilder().setTitle("Potter").setDescription("not in the mask").build(),
          FieldMask.newBuilder().addPaths("title").build());
      assertEquals(List.of("Potter", "Anvils"), List.of(job.getTitle(), job.getDescription()));
      assertEquals(job.getName(), search(jobs, "potter").getMatchingJobs(0).getJob().getName());
      String name = job.getName();
      jobs.deleteJob(name);
      assertThrows(NotFoundException.class, () -> jobs.getJob(name));
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"grpc", "rest"})
  void errorsAreTyped(String transport) throws Exception {
    try (JobServiceClient jobs = jobs(transport)) {
      assertThrows(NotFoundException.class, () -> jobs.getJob(PARENT + "/jobs/2"));
      var error = assertThrows(InvalidArgumentException.class,
          () -> jobs.createJob(PARENT, Job.newBuilder().setTitle("x").build()));
      if (transport.equals("grpc")) { // the client reads no details over REST
        assertEquals("job.company", error.getErrorDetails().getBadRequest().getFieldViolations(0).getField());
      }
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"grpc", "rest"})
  void batchesAndPages(String transport) throws Exception {
    try (JobServiceClient jobs = jobs(transport)) {
      var batch = BatchCreateJobsRequest.newBuilder().setParent(PARENT);
      IntStream.range(0, 25).forEach(i -> batch.addJobs(posting("r" + i)));
      assertEquals(25, jobs.batchCreateJobsAsync(batch.build()).get().getJobResultsCount());
      var listed = jobs.listJobs(ListJobsRequest.newBuilder()
          .setParent(PARENT).setFilter("companyName = \"" + COMPANY + "\"").setPageSize(10).build());
      assertEquals(26, StreamSupport.stream(listed.iterateAll().spliterator(), false).count());
    }
  }

  /** Each first read of jobs/1 gets 503, and the client repeats it by its defaults. */
  @ParameterizedTest
  @ValueSource(strings = {"grpc", "rest"})
  void readsAreRetried(String transport) throws Exception {
    try (JobServiceClient jobs = jobs(transport)) {
      assertEquals("Baker", jobs.getJob(PARENT + "/jobs/1").getTitle());
    }
  }

  /** A read of jobs/slow gets no answer. */
  @ParameterizedTest
  @ValueSource(strings = {"grpc", "rest"})
  void callsTimeOut(String transport) throws Exception {
    var settings = settings(transport);
    settings.getJobSettings().setSimpleTimeoutNoRetriesDuration(Duration.ofMillis(300));
    try (JobServiceClient jobs = JobServiceClient.create(settings.build())) {
      assertThrows(DeadlineExceededException.class, () -> jobs.getJob(PARENT + "/jobs/slow"));
    }
  }
}
