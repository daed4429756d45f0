//! Creates repositories at a Gitaly server. One connection for one act, closed after it: a project is created seldom, and a connection
//! that is kept may be dead when it is next needed.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use http::uri::PathAndQuery;
use rustls::{ClientConfig, RootCertStore};
use tokio::sync::OnceCell;
use tonic::client::Grpc;
use tonic::{Code, Request, Status};
use tonic_prost::ProstCodec;

use crate::net::client::error_chain::error_chain;
use crate::net::client::root_certificates;
use crate::net::gitaly::address::GitalyAddress;
use crate::net::gitaly::connection::{GitalyConnection, Http2Service};
use crate::net::gitaly::error::GitalyError;
use crate::net::gitaly::messages::{CreateRepositoryRequest, CreateRepositoryResponse, Repository};

const METHOD: &str = "/gitaly.RepositoryService/CreateRepository";

/// Creates repositories. `Clone` shares the certificates.
#[derive(Clone, Default)]
pub struct GitalyClient {
    /// What `tls://` addresses are connected to with; loaded when one is first used, unless a file is configured.
    tls: Arc<OnceCell<Arc<ClientConfig>>>,
}

/// A Gitaly server, and what is shown to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GitalyServer {
    /// Where it is.
    pub address: GitalyAddress,
    /// The value of the metadata `authorization`, if the storage has a token. A secret.
    pub authorization: Option<String>,
}

/// A repository to create.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRepository {
    /// The name of its storage.
    pub storage: String,
    /// Its path on the storage.
    pub relative_path: String,
    /// `project-<id>` or `wiki-<id>`.
    pub gl_repository: String,
    /// Its full path, for Gitaly's log.
    pub gl_project_path: String,
    /// The branch that its `HEAD` names.
    pub default_branch: String,
}

impl GitalyClient {
    /// Returns a client. `ca_file` replaces the system's root certificates, and is read at once. Blocks.
    pub fn new(ca_file: Option<&Path>) -> Result<Self, String> {
        let Some(file) = ca_file else { return Ok(Self::default()) };
        let config = tls_config(root_certificates::load_ca_file(file)?)?;
        Ok(Self { tls: Arc::new(OnceCell::new_with(Some(config))) })
    }

    /// Creates these repositories, one after the other. One that is there already counts as created. `time_limit` is told to Gitaly; the
    /// caller bounds the whole. Dropping the future closes the connection.
    pub async fn create_repositories(
        &self,
        server: &GitalyServer,
        repositories: &[NewRepository],
        time_limit: Duration,
    ) -> Result<(), GitalyError> {
        let unreachable = |reason: String| GitalyError::Unreachable(format!("cannot connect to {}: {reason}", server.address));
        let tls = match server.address {
            GitalyAddress::Tls(..) => Some(self.tls().await.map_err(unreachable)?),
            GitalyAddress::Unix(_) | GitalyAddress::Tcp(..) => None,
        };
        let connection = GitalyConnection::open(&server.address, tls).await.map_err(|error| unreachable(error_chain(&*error)))?;
        let mut grpc = Grpc::with_origin(connection.service.clone(), origin(&server.address));
        for repository in repositories {
            create_repository(&mut grpc, server, repository, time_limit).await?;
        }
        Ok(())
    }

    async fn tls(&self) -> Result<Arc<ClientConfig>, String> {
        let load = || async {
            let loaded = tokio::task::spawn_blocking(|| tls_config(root_certificates::load_system_roots()?)).await;
            loaded.map_err(|error| error.to_string())?
        };
        self.tls.get_or_try_init(load).await.cloned()
    }
}

async fn create_repository(
    grpc: &mut Grpc<Http2Service>,
    server: &GitalyServer,
    repository: &NewRepository,
    time_limit: Duration,
) -> Result<(), GitalyError> {
    let broken = |reason: String| GitalyError::Unreachable(format!("the connection to {} broke: {reason}", server.address));
    let mut request = Request::new(to_message(repository));
    request.set_timeout(time_limit);
    if let Some(authorization) = &server.authorization {
        let value = authorization.parse().map_err(|_| GitalyError::TokenRefused("it cannot be sent".to_owned()))?;
        request.metadata_mut().insert("authorization", value);
    }
    grpc.ready().await.map_err(|error| broken(error_chain(&error)))?;
    let codec = ProstCodec::<CreateRepositoryRequest, CreateRepositoryResponse>::default();
    match grpc.unary(request, PathAndQuery::from_static(METHOD), codec).await {
        Ok(_) => Ok(()),
        Err(status) => judge_status(&status).map_err(|error| match error {
            GitalyError::Unreachable(reason) => broken(reason),
            other => other,
        }),
    }
}

/// Returns what a status other than OK means. One that has a source is tonic's own, about a connection that broke.
fn judge_status(status: &Status) -> Result<(), GitalyError> {
    if let Some(source) = std::error::Error::source(status) {
        return Err(GitalyError::Unreachable(error_chain(source)));
    }
    let message = status.message().to_owned();
    match status.code() {
        Code::Ok | Code::AlreadyExists => Ok(()),
        // Gitaly's words for no token, and for a wrong one.
        code @ (Code::Unauthenticated | Code::PermissionDenied) => {
            Err(GitalyError::TokenRefused(format!("{}: {message}", code_name(code))))
        }
        Code::Unavailable => Err(GitalyError::Unavailable(message)),
        Code::DeadlineExceeded => Err(GitalyError::DeadlineExceeded(message)),
        code => Err(GitalyError::Refused { code: code_name(code), message }),
    }
}

/// Returns the name of a status, as gRPC's documentation writes it.
const fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

fn to_message(repository: &NewRepository) -> CreateRepositoryRequest {
    let NewRepository { storage, relative_path, gl_repository, gl_project_path, default_branch } = repository.clone();
    let repository = Repository { storage_name: storage, relative_path, gl_repository, gl_project_path };
    CreateRepositoryRequest { repository: Some(repository), default_branch: default_branch.into_bytes() }
}

/// Returns scheme and authority of the requests. gRPC's clients name a Unix socket `localhost`.
fn origin(address: &GitalyAddress) -> Uri {
    let (scheme, authority) = match address {
        GitalyAddress::Unix(_) => ("http", "localhost".to_owned()),
        GitalyAddress::Tcp(..) => ("http", address.to_string().split_off("tcp://".len())),
        GitalyAddress::Tls(..) => ("https", address.to_string().split_off("tls://".len())),
    };
    format!("{scheme}://{authority}/").parse().unwrap_or_else(|_| Uri::from_static("http://localhost/"))
}

/// Returns a configuration of TLS that offers HTTP/2, without which gRPC servers close the connection.
fn tls_config(roots: RootCertStore) -> Result<Arc<ClientConfig>, String> {
    let mut config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("cannot set up TLS: {error}"))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(Arc::new(config))
}
