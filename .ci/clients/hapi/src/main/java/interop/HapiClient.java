package interop;

import ca.uhn.fhir.context.FhirContext;
import ca.uhn.fhir.rest.api.SearchStyleEnum;
import ca.uhn.fhir.rest.client.api.IGenericClient;
import ca.uhn.fhir.rest.client.interceptor.BearerTokenAuthInterceptor;
import ca.uhn.fhir.rest.gclient.IClientExecutable;
import ca.uhn.fhir.rest.gclient.IQuery;
import ca.uhn.fhir.rest.server.exceptions.BaseServerResponseException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.nimbusds.jose.JOSEObjectType;
import com.nimbusds.jose.JWSAlgorithm;
import com.nimbusds.jose.JWSHeader;
import com.nimbusds.jose.crypto.factories.DefaultJWSSignerFactory;
import com.nimbusds.jose.jwk.JWKSet;
import com.nimbusds.jwt.JWTClaimsSet;
import com.nimbusds.jwt.SignedJWT;
import java.io.File;
import java.net.URI;
import java.net.URLEncoder;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.time.Instant;
import java.util.Date;
import java.util.LinkedHashMap;
import java.util.UUID;
import java.util.stream.Collectors;
import org.hl7.fhir.r4.model.Bundle;
import org.hl7.fhir.r4.model.CapabilityStatement;
import org.hl7.fhir.r4.model.Condition;
import org.hl7.fhir.r4.model.Observation;
import org.hl7.fhir.r4.model.Patient;

/** HAPI's generic client with a token of its own getting; once as it comes (XML preferred), once asking for JSON. */
public final class HapiClient {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final String BASE = env("FHIR_BASE");
    private static final String PATIENT = env("PATIENT");

    private final HttpClient http = HttpClient.newHttpClient();
    private final ObjectNode seen = JSON.createObjectNode().put("client", "hapi-client");

    public static void main(String[] args) {
        var run = new HapiClient();
        try {
            run.everything();
            run.seen.put("ok", true);
        } catch (Exception e) {
            run.seen.put("ok", false).put("error", e.toString());
            if (e instanceof BaseServerResponseException answer) {
                run.seen.put("status", answer.getStatusCode()).put("body", answer.getResponseBody());
            }
        }
        System.out.println(run.seen);
        System.exit(run.seen.get("ok").asBoolean() ? 0 : 1);
    }

    private void everything() throws Exception {
        var endpoint = get(BASE + "/.well-known/smart-configuration").path("token_endpoint").asText();
        expect(endpoint.startsWith(env("ISSUER")), "token endpoint " + endpoint + " is not of " + env("ISSUER"));
        seen.put("discovery", 1);

        var granted = token(endpoint);
        seen.put("scope", granted.path("scope").asText());

        var fhir = FhirContext.forR4(); // the first use of a client asks for /metadata
        for (var mode : new String[] {"xml_first", "json"}) {
            var client = fhir.newRestfulGenericClient(BASE);
            client.registerInterceptor(new BearerTokenAuthInterceptor(granted.path("access_token").asText()));
            steps(client, mode);
        }
    }

    private void steps(IGenericClient client, String mode) {
        var statement = as(mode, client.capabilities().ofType(CapabilityStatement.class)).execute();
        seen.put(mode + "_metadata_types", statement.getRestFirstRep().getResource().size());

        var patient = as(mode, client.read().resource(Patient.class).withId(PATIENT)).execute();
        expect(patient.getIdElement().getIdPart().equals(PATIENT), "another patient was read");
        seen.put(mode + "_patient_read", 1);

        everyPage(client, mode, "_observation", observations(client).count(Integer.parseInt(env("COUNT"))));
        everyPage(client, mode, "_condition",
                client.search().forResource(Condition.class).where(Condition.PATIENT.hasId(PATIENT)).returnBundle(Bundle.class));
        everyPage(client, mode, "_post_search", observations(client).usingStyle(SearchStyleEnum.POST));
    }

    private static IQuery<Bundle> observations(IGenericClient client) {
        return client.search()
                .forResource(Observation.class)
                .where(Observation.PATIENT.hasId(PATIENT))
                .and(Observation.CATEGORY.exactly().code(env("CATEGORY")))
                .returnBundle(Bundle.class);
    }

    private void everyPage(IGenericClient client, String mode, String step, IQuery<Bundle> query) {
        var bundle = as(mode, query).execute();
        int pages = 1;
        long entries = matches(bundle);
        while (bundle.getLink(Bundle.LINK_NEXT) != null) {
            bundle = as(mode, client.loadPage().next(bundle)).execute();
            pages++;
            entries += matches(bundle);
        }
        seen.put(mode + step + "_pages", pages).put(mode + step + "_entries", entries);
    }

    private static long matches(Bundle bundle) {
        return bundle.getEntry().stream()
                .filter(entry -> entry.getSearch().getMode() != Bundle.SearchEntryMode.OUTCOME)
                .count();
    }

    private static <T extends IClientExecutable<T, ?>> T as(String mode, T request) {
        return mode.equals("json") ? request.encodedJson() : request;
    }

    private JsonNode token(String endpoint) throws Exception {
        var key = JWKSet.load(new File(env("KEY"))).getKeys().get(0);
        var algorithm = JWSAlgorithm.parse(key.getAlgorithm().getName());
        var assertion = new SignedJWT(
                new JWSHeader.Builder(algorithm).type(JOSEObjectType.JWT).keyID(key.getKeyID()).build(),
                new JWTClaimsSet.Builder()
                        .issuer(env("CLIENT_ID"))
                        .subject(env("CLIENT_ID"))
                        .audience(endpoint)
                        .jwtID(UUID.randomUUID().toString())
                        .expirationTime(Date.from(Instant.now().plusSeconds(240)))
                        .build());
        assertion.sign(new DefaultJWSSignerFactory().createJWSSigner(key, algorithm));

        var form = new LinkedHashMap<String, String>();
        form.put("grant_type", "client_credentials");
        form.put("scope", env("SCOPE"));
        form.put("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
        form.put("client_assertion", assertion.serialize());
        var body = form.entrySet().stream()
                .map(field -> field.getKey() + "=" + URLEncoder.encode(field.getValue(), StandardCharsets.UTF_8))
                .collect(Collectors.joining("&"));
        return send(HttpRequest.newBuilder(URI.create(endpoint))
                .header("Content-Type", "application/x-www-form-urlencoded")
                .POST(HttpRequest.BodyPublishers.ofString(body)));
    }

    private JsonNode get(String url) throws Exception {
        return send(HttpRequest.newBuilder(URI.create(url)).header("Accept", "application/json"));
    }

    private JsonNode send(HttpRequest.Builder request) throws Exception {
        var answer = http.send(request.build(), HttpResponse.BodyHandlers.ofString());
        expect(answer.statusCode() == 200, answer.uri() + ": " + answer.statusCode() + " " + answer.body());
        return JSON.readTree(answer.body());
    }

    private static void expect(boolean condition, String what) {
        if (!condition) {
            throw new IllegalStateException(what);
        }
    }

    private static String env(String name) {
        return System.getenv(name);
    }
}
