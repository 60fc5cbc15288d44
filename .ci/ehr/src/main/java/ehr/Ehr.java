package ehr;

import ca.uhn.fhir.batch2.jobs.bulkmodify.reindex.ReindexProvider;
import ca.uhn.fhir.batch2.jobs.config.Batch2JobsConfig;
import ca.uhn.fhir.batch2.jobs.export.BulkDataExportProvider;
import ca.uhn.fhir.context.FhirContext;
import ca.uhn.fhir.context.support.IValidationSupport;
import ca.uhn.fhir.jpa.api.config.JpaStorageSettings;
import ca.uhn.fhir.jpa.api.config.ThreadPoolFactoryConfig;
import ca.uhn.fhir.jpa.api.dao.IFhirSystemDao;
import ca.uhn.fhir.jpa.batch2.JpaBatch2Config;
import ca.uhn.fhir.jpa.binary.provider.BinaryAccessProvider;
import ca.uhn.fhir.jpa.binary.svc.NullBinaryStorageSvcImpl;
import ca.uhn.fhir.jpa.config.HapiJpaConfig;
import ca.uhn.fhir.jpa.config.HibernatePropertiesProvider;
import ca.uhn.fhir.jpa.config.r4.JpaR4Config;
import ca.uhn.fhir.jpa.config.util.HapiEntityManagerFactoryUtil;
import ca.uhn.fhir.jpa.graphql.GraphQLProvider;
import ca.uhn.fhir.jpa.model.config.PartitionSettings;
import ca.uhn.fhir.jpa.model.config.SubscriptionSettings;
import ca.uhn.fhir.jpa.provider.DiffProvider;
import ca.uhn.fhir.jpa.provider.IJpaSystemProvider;
import ca.uhn.fhir.jpa.provider.JpaCapabilityStatementProvider;
import ca.uhn.fhir.jpa.provider.ValueSetOperationProvider;
import ca.uhn.fhir.jpa.search.DatabaseBackedPagingProvider;
import ca.uhn.fhir.jpa.subscription.channel.config.SubscriptionChannelConfig;
import ca.uhn.fhir.jpa.subscription.match.config.SubscriptionProcessorConfig;
import ca.uhn.fhir.jpa.subscription.match.deliver.email.IEmailSender;
import ca.uhn.fhir.jpa.subscription.submit.config.SubscriptionSubmitterConfig;
import ca.uhn.fhir.rest.api.PreferHandlingEnum;
import ca.uhn.fhir.rest.server.RestfulServer;
import ca.uhn.fhir.rest.server.interceptor.ResponseHighlighterInterceptor;
import ca.uhn.fhir.rest.server.interceptor.SearchPreferHandlingInterceptor;
import ca.uhn.fhir.rest.server.provider.ResourceProviderFactory;
import ca.uhn.fhir.rest.server.util.ISearchParamRegistry;
import jakarta.persistence.EntityManagerFactory;
import java.util.Map;
import javax.sql.DataSource;
import org.hibernate.dialect.Dialect;
import org.springframework.beans.BeanUtils;
import org.springframework.beans.factory.config.ConfigurableListableBeanFactory;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.boot.autoconfigure.orm.jpa.HibernateJpaAutoConfiguration;
import org.springframework.boot.autoconfigure.quartz.QuartzAutoConfiguration;
import org.springframework.boot.autoconfigure.thymeleaf.ThymeleafAutoConfiguration;
import org.springframework.boot.context.properties.ConfigurationProperties;
import org.springframework.boot.context.properties.bind.Bindable;
import org.springframework.boot.context.properties.bind.Binder;
import org.springframework.boot.web.servlet.ServletRegistrationBean;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;
import org.springframework.context.annotation.Import;
import org.springframework.context.annotation.Primary;
import org.springframework.core.env.Environment;
import org.springframework.orm.jpa.JpaTransactionManager;
import org.springframework.orm.jpa.LocalContainerEntityManagerFactoryBean;
import org.springframework.util.ClassUtils;

/** A FHIR R4 store for tests. HAPI brings everything but a program; this is the program. */
@SpringBootApplication(exclude = {
    HibernateJpaAutoConfiguration.class, QuartzAutoConfiguration.class, ThymeleafAutoConfiguration.class
})
public class Ehr {

    public static void main(String[] args) {
        SpringApplication.run(Ehr.class, args);
    }

    /** HAPI's own configurations, together with the small beans they expect from their host. */
    @Configuration
    @Import({
        JpaR4Config.class, HapiJpaConfig.class, ThreadPoolFactoryConfig.class,
        JpaBatch2Config.class, Batch2JobsConfig.class,
        SubscriptionSubmitterConfig.class, SubscriptionProcessorConfig.class, SubscriptionChannelConfig.class
    })
    static class Parts {

        /** Each setter is a property below {@code hapi.storage}. */
        @Bean
        @ConfigurationProperties("hapi.storage")
        JpaStorageSettings storageSettings() {
            return new JpaStorageSettings();
        }

        /** No channel is supported: a stored Subscription must not make this server call anyone. */
        @Bean
        SubscriptionSettings subscriptionSettings() {
            return new SubscriptionSettings();
        }

        @Bean
        PartitionSettings partitionSettings() {
            return new PartitionSettings();
        }

        @Bean
        NullBinaryStorageSvcImpl binaryStorage() {
            return new NullBinaryStorageSvcImpl();
        }

        @Bean
        IEmailSender emailSender() {
            return mail -> {};
        }
    }

    /** The database below HAPI. */
    @Configuration
    static class Store {

        @Bean
        @Primary
        HibernatePropertiesProvider dialect(Environment env) {
            var name = env.getRequiredProperty("jpa.hibernate.dialect");
            var dialect = (Dialect) BeanUtils.instantiateClass(ClassUtils.resolveClassName(name, null));
            return new HibernatePropertiesProvider() {
                @Override
                public Dialect getDialect() {
                    return dialect;
                }
            };
        }

        @Bean
        @Primary
        LocalContainerEntityManagerFactoryBean entityManagerFactory(
                ConfigurableListableBeanFactory beans, FhirContext fhir, JpaStorageSettings settings,
                DataSource database, Environment env) {
            var factory = HapiEntityManagerFactoryUtil.newEntityManagerFactory(beans, fhir, settings);
            factory.setPersistenceUnitName("HAPI_PU");
            factory.setDataSource(database);
            var properties = Binder.get(env).bind("jpa", Bindable.mapOf(String.class, String.class));
            factory.setJpaPropertyMap(properties.orElseGet(Map::of));
            return factory;
        }

        @Bean
        @Primary
        JpaTransactionManager transactionManager(EntityManagerFactory factory) {
            return new JpaTransactionManager(factory);
        }
    }

    /** The REST face, on /fhir. Links are written with the Host that the client used. */
    @Configuration
    static class Http {

        @Bean
        RestfulServer restfulServer(
                IFhirSystemDao<?, ?> dao, JpaStorageSettings settings, ISearchParamRegistry parameters,
                IValidationSupport validation, DatabaseBackedPagingProvider pages, Environment env,
                ResourceProviderFactory resources, IJpaSystemProvider system, ValueSetOperationProvider valueSets,
                ReindexProvider reindex, DiffProvider diff, GraphQLProvider graphql, BulkDataExportProvider export,
                BinaryAccessProvider binaries) {
            var server = new RestfulServer(dao.getContext());
            server.registerProviders(resources.createProviders());
            server.registerProviders(system, valueSets, reindex, diff, graphql, export, binaries);
            var statement = new JpaCapabilityStatementProvider(server, dao, settings, parameters, validation);
            statement.setImplementationDescription("Record system of the interoperability checks");
            server.setServerConformanceProvider(statement);
            pages.setDefaultPageSize(env.getRequiredProperty("hapi.page.default", Integer.class));
            pages.setMaximumPageSize(env.getRequiredProperty("hapi.page.max", Integer.class));
            server.setPagingProvider(pages);
            server.setDefaultPrettyPrint(true);
            server.registerInterceptor(new ResponseHighlighterInterceptor());
            var handling = env.getProperty("hapi.handling", PreferHandlingEnum.class);
            if (handling != null) {
                // obey "Prefer: handling=", and do as configured where a request does not carry it
                var prefer = new SearchPreferHandlingInterceptor(parameters);
                prefer.setDefaultBehaviour(handling);
                server.registerInterceptor(prefer);
            }
            return server;
        }

        @Bean
        ServletRegistrationBean<RestfulServer> mount(RestfulServer server) {
            var servlet = new ServletRegistrationBean<>(server, "/fhir/*");
            servlet.setLoadOnStartup(1);
            return servlet;
        }
    }
}
