import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.time.OffsetDateTime;
import org.apache.camel.Exchange;
import org.apache.camel.Processor;

/** Checks an event, and keeps its id for the idempotent consumer. */
public class Check implements Processor {
    private final ObjectMapper mapper = new ObjectMapper();

    /** Fault is what an event that is at fault is routed by. */
    public static class Fault extends Exception {
        Fault(String message) {
            super(message, null, false, false);
        }
    }

    @Override
    public void process(Exchange exchange) throws Exception {
        // A batch holds the exchanges of its records.
        if (exchange.getMessage().getBody() instanceof Exchange one) {
            exchange.getMessage().setBody(one.getMessage().getBody());
        }
        try {
            JsonNode e = mapper.readTree(exchange.getMessage().getBody(byte[].class));
            String id = text(e, "eventId");
            text(e, "requestId");
            OffsetDateTime.parse(text(e, "createTime"));
            text(e.path("jobEvent"), "type");
            if (!e.path("jobEvent").path("jobs").isArray() || e.path("jobEvent").path("jobs").isEmpty()) {
                throw new Fault("no jobs");
            }
            exchange.getMessage().removeHeaders("*");
            exchange.getMessage().setHeader("id", id);
        } catch (Fault f) {
            throw f;
        } catch (Exception any) {
            throw new Fault(any.getMessage());
        }
    }

    private static String text(JsonNode node, String name) throws Fault {
        JsonNode value = node.path(name);
        if (!value.isTextual() || value.textValue().isEmpty()) {
            throw new Fault("no " + name);
        }
        return value.textValue();
    }
}
