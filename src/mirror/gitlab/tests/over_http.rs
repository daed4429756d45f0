//! The transport itself: which credential goes with which API, and that a whole body comes back or none.

use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::mirror::gitlab::transport::{Api, GitlabRequest, HttpTransport, MAX_BODY_BYTES, PrivateToken, Transport as _};
use crate::model::clock::wall_time;
use crate::wire::auth::credentials::CredentialVerifier;
use crate::wire::auth::secret::Secret;

fn secret(text: &str) -> Secret {
    Secret::from_bytes(text.as_bytes()).unwrap()
}

/// Starts a server that answers each connection with the next of these responses. Returns its URL, and what it was sent once it is done.
async fn serve(responses: Vec<Vec<u8>>) -> (String, tokio::task::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/git/lab", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        let mut seen = Vec::new();
        for response in responses {
            let (mut connection, _) = listener.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(connection.read_u8().await.unwrap());
            }
            seen.push(String::from_utf8(head).unwrap().to_ascii_lowercase());
            let _ = connection.write_all(&response).await;
        }
        seen
    });
    (url, server)
}

fn response(head: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {head}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

fn request(api: Api) -> GitlabRequest {
    GitlabRequest { api, target: "/api/v4/users?per_page=100".to_owned() }
}

#[tokio::test]
async fn each_api_gets_its_own_credential_and_no_other() {
    let (url, server) = serve(vec![response("200 OK", "[]"), response("200 OK", "[]"), response("200 OK", "[]")]).await;
    let token = Arc::new(PrivateToken::new(&secret("glpat-one")).unwrap());
    let signer = Arc::new(CredentialVerifier::new(secret("0123456789abcdef"), 1));
    let transport = HttpTransport::new(&url, None, Arc::clone(&token), signer).unwrap();
    assert_eq!(transport.relative_root(), "/git/lab");
    assert_eq!(transport.send(request(Api::Rest), wall_time()).await.unwrap().body, "[]");
    transport.send(request(Api::Internal), wall_time()).await.unwrap();
    token.replace(&secret("glpat-two")).unwrap();
    transport.send(request(Api::Rest), wall_time()).await.unwrap();
    let seen = server.await.unwrap();
    assert!(seen[0].starts_with("get /git/lab/api/v4/users?per_page=100 http/1.1\r\n"), "{}", seen[0]);
    assert!(seen[0].contains("private-token: glpat-one\r\n") && !seen[0].contains("gitlab-shell-api-request"), "{}", seen[0]);
    assert!(seen[1].contains("gitlab-shell-api-request: ey") && !seen[1].contains("private-token"), "{}", seen[1]);
    assert!(seen[2].contains("private-token: glpat-two\r\n"), "a token that was replaced is used at once");
}

#[tokio::test]
async fn a_body_that_is_cut_short_or_too_large_is_no_answer_and_a_redirect_is_not_followed() {
    let cut = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n[]".to_vec();
    let large = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", MAX_BODY_BYTES + 1).into_bytes();
    let redirect = b"HTTP/1.1 302 Found\r\nconnection: close\r\nlocation: http://127.0.0.1:9/x\r\ncontent-length: 0\r\n\r\n".to_vec();
    let (url, server) = serve(vec![cut, large, redirect]).await;
    let token = Arc::new(PrivateToken::new(&secret("glpat-one")).unwrap());
    let transport = HttpTransport::new(&url, None, token, Arc::new(CredentialVerifier::new(secret("s"), 1))).unwrap();
    assert_eq!(transport.send(request(Api::Rest), wall_time()).await.unwrap_err(), "the body was cut off");
    assert!(transport.send(request(Api::Rest), wall_time()).await.unwrap_err().contains("larger than"));
    assert_eq!(transport.send(request(Api::Rest), wall_time()).await.unwrap().status, 302);
    assert_eq!(server.await.unwrap().len(), 3);
}
