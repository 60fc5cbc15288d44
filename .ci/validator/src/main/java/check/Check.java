package check;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedReader;
import java.io.ByteArrayInputStream;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import org.hl7.fhir.convertors.factory.VersionConvertorFactory_40_50;
import org.hl7.fhir.r4.formats.JsonParser;
import org.hl7.fhir.r4.formats.XmlParser;
import org.hl7.fhir.r4.model.Bundle;
import org.hl7.fhir.r5.elementmodel.Manager.FhirFormat;
import org.hl7.fhir.r5.model.CanonicalResource;
import org.hl7.fhir.r5.model.CodeSystem;
import org.hl7.fhir.r5.model.Enumerations.CodeSystemContentMode;
import org.hl7.fhir.r5.model.Enumerations.PublicationStatus;
import org.hl7.fhir.r5.model.Resource;
import org.hl7.fhir.r5.model.StructureDefinition;
import org.hl7.fhir.r5.model.ValueSet;
import org.hl7.fhir.r5.terminologies.CodeSystemUtilities;
import org.hl7.fhir.r5.utils.validation.constants.BestPracticeWarningLevel;
import org.hl7.fhir.r5.utils.validation.constants.ReferenceValidationPolicy;
import org.hl7.fhir.utilities.http.ManagedWebAccess;
import org.hl7.fhir.utilities.validation.ValidationMessage;
import org.hl7.fhir.utilities.validation.ValidationMessage.IssueSeverity;
import org.hl7.fhir.validation.ValidationEngine;
import org.hl7.fhir.validation.instance.advisor.BasePolicyAdvisorForFullValidation;
import org.hl7.fhir.validation.service.model.InstanceValidatorParameters;

/**
 * Offline FHIR R4 validation.
 *
 * <pre>
 * Check --home DIR [--defs PATH]... [--known-system URL]... [--profile URL]...
 *       [--any-extension] [--unknown-profiles-ok] [--warnings]  (--stdin | FILE|DIR...)
 * </pre>
 *
 * With {@code --stdin}, each input line is {@code {"id": "..", "resource": {..}}}, or with {@code "text"} (raw JSON) or
 * {@code "file"} in the place of {@code "resource"}, and optionally {@code "profiles": [..]}. The first output line is
 * {@code {"ready":true}}; each further one answers an input line.
 *
 * <p>Exit status: 0 all valid, 1 something is not, 2 wrong usage, 3 the validator itself failed.
 */
public final class Check {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final String CORE = "hl7.fhir.r4.core";
    private static final Set<String> DEFINITIONS =
            Set.of("StructureDefinition", "ValueSet", "CodeSystem", "Questionnaire", "Measure");

    private Path home;
    private final List<Path> definitions = new ArrayList<>();
    private final List<Path> inputs = new ArrayList<>();
    private final List<String> profiles = new ArrayList<>();
    private final List<String> knownSystems = new ArrayList<>();
    private boolean stdin;
    private boolean anyExtension;
    private boolean unknownProfilesOk;
    private boolean warnings;

    private ValidationEngine engine;
    private int valid;
    private int invalid;

    public static void main(String[] args) {
        var answers = new PrintStream(new FileOutputStream(FileDescriptor.out), false, StandardCharsets.UTF_8);
        System.setOut(System.err); // the library talks; standard output is for answers alone
        int status;
        try {
            status = new Check(args).run(answers);
        } catch (IllegalArgumentException e) {
            System.err.println("check: " + e.getMessage());
            status = 2;
        } catch (Exception | Error e) {
            e.printStackTrace();
            status = 3;
        }
        answers.flush();
        System.exit(status);
    }

    private Check(String[] args) {
        for (var rest = List.of(args).iterator(); rest.hasNext(); ) {
            var arg = rest.next();
            switch (arg) {
                case "--stdin" -> stdin = true;
                case "--any-extension" -> anyExtension = true;
                case "--unknown-profiles-ok" -> unknownProfilesOk = true;
                case "--warnings" -> warnings = true;
                case "--home", "--defs", "--known-system", "--profile" -> {
                    if (!rest.hasNext()) {
                        throw new IllegalArgumentException(arg + " needs a value");
                    }
                    var value = rest.next();
                    switch (arg) {
                        case "--home" -> home = Path.of(value).toAbsolutePath();
                        case "--defs" -> definitions.add(Path.of(value));
                        case "--known-system" -> knownSystems.add(value);
                        default -> profiles.add(value);
                    }
                }
                default -> {
                    if (arg.startsWith("--")) {
                        throw new IllegalArgumentException("unknown option " + arg);
                    }
                    inputs.add(Path.of(arg));
                }
            }
        }
        if (home == null || stdin != inputs.isEmpty()) {
            throw new IllegalArgumentException("give --home, and either --stdin or files");
        }
    }

    private int run(PrintStream answers) throws Exception {
        var began = System.nanoTime();
        writePackages(home.resolve(".fhir/packages"));
        startEngine();
        loadDefinitions();
        selfTest();
        System.err.printf("check: ready after %d ms%n", millisSince(began));
        if (stdin) {
            answerLines(answers);
        } else {
            for (var input : inputs) {
                for (var file : filesIn(input, ".json")) {
                    report(file, judge(file.toString(), Files.readAllBytes(file), profiles), answers);
                }
            }
        }
        System.err.printf("check: %d valid, %d not, %d ms%n", valid, invalid, millisSince(began));
        return invalid == 0 ? 0 : 1;
    }

    // ---- set-up

    private void startEngine() throws Exception {
        System.setProperty("user.home", home.toString()); // packages are looked for below it
        ManagedWebAccess.setAccessPolicy(ManagedWebAccess.WebAccessPolicy.PROHIBITED);

        var parameters = new InstanceValidatorParameters();
        parameters.setAssumeValidRestReferences(true);
        parameters.setAllowExampleUrls(true);
        parameters.setUnknownCodeSystemsCauseErrors(false); // SNOMED CT, LOINC and the like are not here
        parameters.setBestPracticeLevel(BestPracticeWarningLevel.Ignore);
        if (anyExtension) {
            parameters.setExtensions(List.of("any"));
        }
        engine = new ValidationEngine.ValidationEngineBuilder()
                .withVersion("4.0.1")
                .withNoTerminologyServer()
                .withDefaultInstanceValidatorParameters(parameters)
                .fromSource(CORE + "#4.0.1");
        engine.setDisplayWarnings(true);
        engine.setPolicyAdvisor(
                new BasePolicyAdvisorForFullValidation(ReferenceValidationPolicy.CHECK_TYPE_IF_EXISTS, null));
        var context = engine.getContext();
        context.setNoTerminologyServer(true);
        context.setCanRunWithoutTerminology(true);
        // The terminology cache makes a verdict depend on what was checked before.
        context.setCachingAllowed(false);
    }

    private void loadDefinitions() throws Exception {
        var added = new ArrayList<StructureDefinition>();
        int count = 0;
        for (var place : definitions) {
            for (var file : filesIn(place, ".json", ".xml")) {
                var resource = readDefinition(file);
                if (resource == null) {
                    continue;
                }
                count++;
                if (!replaceInCore(resource)) {
                    engine.getContext().cacheResource(resource);
                    if (resource instanceof StructureDefinition definition) {
                        added.add(definition);
                    }
                }
            }
        }
        for (var url : knownSystems) {
            var system = new CodeSystem();
            system.setId("known-" + Integer.toHexString(url.hashCode()));
            system.setUrl(url);
            system.setName("Known");
            system.setStatus(PublicationStatus.ACTIVE);
            system.setContent(CodeSystemContentMode.NOTPRESENT);
            engine.getContext().cacheResource(system);
        }
        engine.prepare(); // makes the snapshots
        for (var definition : added) {
            var current = engine.getContext().fetchResource(StructureDefinition.class, definition.getVersionedUrl());
            if (current == null || !current.hasSnapshot()) {
                System.err.println("check: no snapshot of " + definition.getVersionedUrl() + ", is its base missing?");
            }
        }
        System.err.printf("check: %d definitions%n", count);
    }

    private static Resource readDefinition(Path file) throws IOException {
        var text = Files.readString(file);
        if (text.startsWith("\uFEFF")) {
            text = text.substring(1);
        }
        boolean xml = file.toString().endsWith(".xml");
        if (!xml && !DEFINITIONS.contains(JSON.readTree(text).path("resourceType").asText())) {
            return null;
        }
        var resource = xml ? new XmlParser(true).parse(text) : new JsonParser(true, true).parse(text);
        return DEFINITIONS.contains(resource.fhirType()) ? VersionConvertorFactory_40_50.convertResource(resource) : null;
    }

    /**
     * R4 carries terminology of 2018. A newer copy is written over the old object: put beside it, the old one often wins,
     * because "2018-08-12" compares as the later version.
     */
    private boolean replaceInCore(Resource fresh) {
        if (fresh instanceof CodeSystem system && inCore(system) instanceof CodeSystem old) {
            var version = old.getVersion();
            system.copyValues(old);
            old.setVersion(version);
            CodeSystemUtilities.crossLinkCodeSystem(old);
            return true;
        }
        if (fresh instanceof ValueSet values && inCore(values) instanceof ValueSet old) {
            var version = old.getVersion();
            values.copyValues(old);
            old.setVersion(version);
            return true;
        }
        return false;
    }

    private CanonicalResource inCore(CanonicalResource fresh) {
        var held = engine.getContext().fetchResource(fresh.getClass(), fresh.getUrl());
        boolean core = held != null && held != fresh
                && held.getSourcePackage() != null && CORE.equals(held.getSourcePackage().getId());
        return core ? held : null;
    }

    private void selfTest() {
        boolean works = passes("{\"resourceType\":\"Patient\",\"gender\":\"male\"}")
                && !passes("{\"resourceType\":\"Patient\",\"gender\":\"mail\"}")
                && !passes("{\"resourceType\":\"Patient\",\"gendr\":\"male\"}");
        if (!works) {
            throw new IllegalStateException("the self-test failed");
        }
    }

    private boolean passes(String text) {
        return judge("self-test", text.getBytes(StandardCharsets.UTF_8), List.of()).get("ok").asBoolean();
    }

    /** Writes what the engine wants to find in its package folder: R4 from the data jar, and an empty second package. */
    private static void writePackages(Path packages) throws Exception {
        var core = packages.resolve(CORE + "#4.0.1/package");
        var manifest = core.resolve("package.json"); // written last: it marks the folder as complete
        if (Files.exists(manifest)) {
            return;
        }
        Files.createDirectories(core);
        // Any other version makes the library delete everything here.
        Files.writeString(packages.resolve("packages.ini"),
                "[cache]\nversion = 4\n\n[urls]\n\n[local]\n\n[packages]\n");
        int count = 0;
        for (var name : List.of(
                "profile/profiles-types.xml", "profile/profiles-resources.xml", "profile/profiles-others.xml",
                "extension/extension-definitions.xml",
                "valueset/valuesets.xml", "valueset/v2-tables.xml", "valueset/v3-codesystems.xml",
                "sp/search-parameters.json")) {
            try (var in = Check.class.getResourceAsStream("/org/hl7/fhir/r4/model/" + name)) {
                var parser = name.endsWith(".xml") ? new XmlParser(true) : new JsonParser(true);
                for (var entry : ((Bundle) parser.parse(in)).getEntry()) {
                    var resource = entry.getResource();
                    var file = core.resolve(resource.fhirType() + "-" + resource.getIdElement().getIdPart() + ".json");
                    if (!Files.exists(file)) { // the first of two with one id counts
                        Files.write(file, new JsonParser().composeBytes(resource));
                        count++;
                    }
                }
            }
        }
        var extensions = packages.resolve("hl7.fhir.xver-extensions#0.1.0/package");
        Files.createDirectories(extensions);
        Files.write(extensions.resolve("package.json"),
                manifest("hl7.fhir.xver-extensions", "0.1.0", "type", "fhir.ig", "canonical", "http://hl7.org/fhir/xver",
                        "url", "http://hl7.org/fhir/xver"));
        Files.write(manifest,
                manifest(CORE, "4.0.1", "type", "fhir.core", "canonical", "http://hl7.org/fhir",
                        "url", "http://hl7.org/fhir/R4", "license", "CC0-1.0", "date", "20191101092731"));
        System.err.printf("check: wrote R4 core, %d resources%n", count);
    }

    private static byte[] manifest(String name, String version, String... more) throws IOException {
        var object = JSON.createObjectNode().put("name", name).put("version", version).put("tools-version", 3);
        for (int i = 0; i < more.length; i += 2) {
            object.put(more[i], more[i + 1]);
        }
        object.putArray("fhirVersions").add("4.0.1");
        object.putObject("dependencies");
        return JSON.writeValueAsBytes(object);
    }

    // ---- checking

    private ObjectNode judge(String id, byte[] body, List<String> claimed) {
        var began = System.nanoTime();
        var messages = new ArrayList<ValidationMessage>();
        try {
            var validator = engine.getValidator(FhirFormat.JSON);
            validator.validate(null, messages, new ByteArrayInputStream(body), FhirFormat.JSON, engine.asSdList(claimed));
        } catch (Exception | Error e) {
            return failure(id, e.toString());
        }
        var issues = JSON.createArrayNode();
        int errorCount = 0;
        int warningCount = 0;
        for (var message : messages) {
            var kind = String.valueOf(message.getMessageId());
            if (kind.startsWith("VALIDATION_VAL_PROFILE_UNKNOWN") && !unknownProfilesOk) {
                message.setLevel(IssueSeverity.ERROR); // an unchecked claim must not pass
            }
            boolean error = message.getLevel().isError();
            boolean warning = message.getLevel() == IssueSeverity.WARNING;
            errorCount += error ? 1 : 0;
            warningCount += warning ? 1 : 0;
            if (error || warning && warnings) {
                issues.addObject()
                        .put("severity", message.getLevel().toCode())
                        .put("location", String.valueOf(message.getLocation()))
                        .put("line", message.getLine())
                        .put("col", message.getCol())
                        .put("messageId", kind)
                        .put("message", message.getMessage());
            }
        }
        var verdict = JSON.createObjectNode()
                .put("id", id)
                .put("ok", errorCount == 0)
                .put("errors", errorCount)
                .put("warnings", warningCount)
                .put("ms", millisSince(began));
        verdict.set("issues", issues);
        return verdict;
    }

    private static ObjectNode failure(String id, String reason) {
        var verdict = JSON.createObjectNode().put("id", id).put("ok", false).put("errors", 1).put("warnings", 0);
        verdict.put("ms", 0).putArray("issues").addObject()
                .put("severity", "fatal")
                .put("location", "")
                .put("line", 0)
                .put("col", 0)
                .put("messageId", "INTERNAL")
                .put("message", reason);
        return verdict;
    }

    private void answerLines(PrintStream answers) throws IOException {
        answers.println("{\"ready\":true}");
        answers.flush();
        var lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line; (line = lines.readLine()) != null; ) {
            if (!line.isBlank()) {
                answers.println(count(answerLine(line)));
                answers.flush();
            }
        }
    }

    private ObjectNode answerLine(String line) {
        JsonNode request;
        try {
            request = JSON.readTree(line);
        } catch (IOException e) {
            return failure("", "not a request: " + e.getMessage());
        }
        var id = request.path("id").asText();
        var claimed = new ArrayList<>(profiles);
        request.path("profiles").forEach(profile -> claimed.add(profile.asText()));
        try {
            if (request.has("file")) {
                return judge(id, Files.readAllBytes(Path.of(request.get("file").asText())), claimed);
            }
            if (request.has("text")) {
                return judge(id, request.get("text").asText().getBytes(StandardCharsets.UTF_8), claimed);
            }
            if (request.has("resource")) {
                return judge(id, JSON.writeValueAsBytes(request.get("resource")), claimed);
            }
            return failure(id, "not a request: neither resource, text nor file");
        } catch (IOException e) {
            return failure(id, "cannot read: " + e);
        }
    }

    private void report(Path file, ObjectNode verdict, PrintStream answers) {
        count(verdict);
        answers.printf("%-5s %s  errors=%s warnings=%s ms=%s%n", verdict.get("ok").asBoolean() ? "OK" : "ERROR", file,
                verdict.get("errors"), verdict.get("warnings"), verdict.get("ms"));
        for (var issue : verdict.get("issues")) {
            answers.printf("      %s %s @%s:%s [%s] %s%n", issue.get("severity").asText(), issue.get("location").asText(),
                    issue.get("line"), issue.get("col"), issue.get("messageId").asText(),
                    issue.get("message").asText());
        }
    }

    private ObjectNode count(ObjectNode verdict) {
        if (verdict.get("ok").asBoolean()) {
            valid++;
        } else {
            invalid++;
        }
        return verdict;
    }

    private static List<Path> filesIn(Path place, String... endings) throws IOException {
        if (!Files.isDirectory(place)) {
            return List.of(place);
        }
        try (var found = Files.list(place)) {
            return found.filter(file -> List.of(endings).stream().anyMatch(file.toString()::endsWith)).sorted().toList();
        }
    }

    private static long millisSince(long start) {
        return (System.nanoTime() - start) / 1_000_000;
    }
}
