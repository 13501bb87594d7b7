//! EC2, as far as the fleet needs it: which instances there are and how they do.
//! Reads only: `DescribeInstances` and `DescribeInstanceStatus`, <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/>.

mod config;
mod error;
mod instance;

use std::{collections::HashMap, sync::Arc, time::Duration};

use aws_config::{
    default_provider::credentials::DefaultCredentialsChain, imds, provider_config::ProviderConfig,
};
use aws_sdk_ec2::{
    config::{
        BehaviorVersion, IdentityCache, Region, SharedCredentialsProvider, SharedHttpClient,
        retry::RetryConfig, timeout::TimeoutConfig,
    },
    types::Filter,
};
use aws_smithy_http_client::tls::{self, rustls_provider::CryptoMode};
use secrecy::ExposeSecret;
use tokio::sync::OnceCell;

pub use self::{
    config::{Address, Config, Credentials},
    error::Error,
    instance::Instance,
};

/// The bound on a TCP and TLS connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// The bound on one try of one request.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(6);
/// The bound on one request with its tries.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(9);
/// The bound on all pages of both requests.
const READ_TIMEOUT: Duration = Duration::from_secs(30);
/// The bound on the whole credential chain.
const CREDENTIALS_TIMEOUT: Duration = Duration::from_secs(5);
/// The bound on a connection to the instance metadata service, which outside EC2 nobody takes.
const METADATA_CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// The bound on one of its answers.
const METADATA_TIMEOUT: Duration = Duration::from_secs(2);
/// How often one request is tried.
const ATTEMPTS: u32 = 3;
/// EC2's own advice for a page.
const PAGE_SIZE: i32 = 100;
/// A list that does not end is a fault of the peer, not a fleet.
const MAX_INSTANCES: usize = 10_000;

/// The states of an instance that is still somebody's; a terminated one is only a memory.
const STATES: [&str; 4] = ["pending", "running", "stopping", "stopped"];

/// Reads the fleet's instances. Cheap to clone; the credentials are looked for at the first read.
#[derive(Clone, Debug)]
pub struct Client(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    config: Config,
    credentials: Option<Credentials>,
    page_size: i32,
    sdk: OnceCell<aws_sdk_ec2::Client>,
}

/// What EC2 said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// Every instance tagged `X-Application = builder`, in no particular order.
    pub instances: Vec<Instance>,
    /// Why the status checks are missing, when only they could not be read.
    pub without_checks: Option<Error>,
}

impl Client {
    /// With the configuration's own key, otherwise the usual chain: environment, profile, process, SSO, web identity, container,
    /// instance role.
    pub fn new(config: &Config) -> Result<Self, Error> {
        Self::build(config, config.key())
    }

    /// With a key given outright, for a caller that has one of its own, such as a test or the sandbox.
    pub fn with_credentials(config: &Config, credentials: Credentials) -> Result<Self, Error> {
        Self::build(config, Some(credentials))
    }

    /// The same client with pages of another size (EC2 takes 5 to 1000): a small fleet then has several.
    #[must_use]
    pub fn with_page_size(&self, page_size: u16) -> Self {
        Self(Arc::new(Inner {
            config: self.0.config.clone(),
            credentials: self.0.credentials.clone(),
            page_size: i32::from(page_size),
            sdk: OnceCell::new(),
        }))
    }

    fn build(config: &Config, credentials: Option<Credentials>) -> Result<Self, Error> {
        let faults = config.check();
        if !faults.is_empty() {
            return Err(Error::Config {
                reason: faults.join("; "),
            });
        }
        Ok(Self(Arc::new(Inner {
            config: config.clone(),
            credentials,
            page_size: PAGE_SIZE,
            sdk: OnceCell::new(),
        })))
    }

    /// How often the configuration wants the list read.
    pub fn refresh(&self) -> Duration {
        self.0.config.refresh
    }

    /// All instances, all pages. Bounded in time; missing status checks do not fail it.
    pub async fn read(&self) -> Result<Reading, Error> {
        tokio::time::timeout(READ_TIMEOUT, self.0.read())
            .await
            .unwrap_or_else(|_| {
                Err(Error::TimedOut {
                    place: self.0.config.place(),
                })
            })
    }
}

impl Inner {
    async fn read(&self) -> Result<Reading, Error> {
        let sdk = self.sdk.get_or_init(|| self.connect()).await;
        // One after the other: what fails the first, such as the credentials, is not waited for twice.
        let described = self.instances(sdk).await?;
        let (checks, without_checks) = match self.checks(sdk).await {
            Ok(checks) => (checks, None),
            Err(fault) => (HashMap::new(), Some(fault)),
        };
        let instances = described
            .iter()
            .filter_map(|described| Instance::read(described, self.config.address, &checks))
            .collect();
        Ok(Reading {
            instances,
            without_checks,
        })
    }

    async fn instances(
        &self,
        sdk: &aws_sdk_ec2::Client,
    ) -> Result<Vec<aws_sdk_ec2::types::Instance>, Error> {
        let mut pages = sdk
            .describe_instances()
            .filters(filter("tag:X-Application", &["builder"]))
            .filters(filter("instance-state-name", &STATES))
            .into_paginator()
            .page_size(self.page_size)
            .send();
        let mut all = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|failure| Error::from_sdk(&failure, &self.config.place()))?;
            for reservation in page.reservations.unwrap_or_default() {
                all.extend(reservation.instances.unwrap_or_default());
            }
            self.bounded(all.len())?;
        }
        Ok(all)
    }

    /// The worse check by instance id. Not asked by id: that excludes paging, and one instance just gone would fail all.
    async fn checks(&self, sdk: &aws_sdk_ec2::Client) -> Result<HashMap<String, String>, Error> {
        let mut pages = sdk
            .describe_instance_status()
            .include_all_instances(true)
            .into_paginator()
            .page_size(self.page_size)
            .send();
        let mut all = HashMap::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|failure| Error::from_sdk(&failure, &self.config.place()))?;
            all.extend(page.instance_statuses().iter().filter_map(instance::checks));
            self.bounded(all.len())?;
        }
        Ok(all)
    }

    fn bounded(&self, instances: usize) -> Result<(), Error> {
        if instances <= MAX_INSTANCES {
            return Ok(());
        }
        Err(Error::Other {
            place: self.config.place(),
            code: "too much".to_owned(),
            message: format!("more than {MAX_INSTANCES} instances"),
        })
    }

    async fn connect(&self) -> aws_sdk_ec2::Client {
        // Ring by name: the process may hold other rustls users, and none of them decides for this one.
        let http = aws_smithy_http_client::Builder::new()
            .tls_provider(tls::Provider::Rustls(CryptoMode::Ring))
            .build_https();
        let region = Region::new(self.config.region.clone());
        let credentials = match &self.credentials {
            Some(given) => SharedCredentialsProvider::new(aws_sdk_ec2::config::Credentials::new(
                &given.access_key_id,
                given.secret_access_key.expose_secret(),
                None,
                None,
                "habops",
            )),
            None => SharedCredentialsProvider::new(chain(http.clone(), region.clone()).await),
        };
        // Built from nothing, not from the shared `SdkConfig`: so AWS_ENDPOINT_URL moves nothing, the address is the configuration's.
        let mut config = aws_sdk_ec2::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(region)
            .http_client(http)
            .credentials_provider(credentials)
            .identity_cache(
                IdentityCache::lazy()
                    .load_timeout(CREDENTIALS_TIMEOUT)
                    .build(),
            )
            .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS))
            .timeout_config(
                TimeoutConfig::builder()
                    .connect_timeout(CONNECT_TIMEOUT)
                    .operation_attempt_timeout(ATTEMPT_TIMEOUT)
                    .operation_timeout(OPERATION_TIMEOUT)
                    .build(),
            );
        config.set_endpoint_url(self.config.endpoint_url.clone());
        aws_sdk_ec2::Client::from_conf(config.build())
    }
}

async fn chain(http: SharedHttpClient, region: Region) -> DefaultCredentialsChain {
    let provider = ProviderConfig::without_region()
        .with_region(Some(region.clone()))
        .with_behavior_version(Some(BehaviorVersion::latest()))
        .with_http_client(http);
    let metadata = imds::Client::builder()
        .configure(&provider)
        .max_attempts(1)
        .connect_timeout(METADATA_CONNECT_TIMEOUT)
        .read_timeout(METADATA_TIMEOUT)
        .operation_attempt_timeout(METADATA_TIMEOUT)
        .operation_timeout(METADATA_TIMEOUT)
        .build();
    DefaultCredentialsChain::builder()
        .region(region)
        .configure(provider)
        .imds_client(metadata)
        .build()
        .await
}

fn filter(name: &str, values: &[&str]) -> Filter {
    Filter::builder()
        .name(name)
        .set_values(Some(values.iter().map(|&value| value.to_owned()).collect()))
        .build()
}
