//! Probes against a server that speaks HTTP/2 and answers as it is told.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use http::Response;
use tokio::net::{TcpListener, TcpStream};

use super::*;

/// What a server says: the bytes of its message, and its trailers; without a message these are its head.
#[derive(Clone)]
struct Says {
    message: Option<&'static [u8]>,
    trailers: Vec<(&'static str, &'static str)>,
}

/// What a probe finds at this server, and the path and message it asked with.
async fn finds(service: &str, says: Says) -> (Finding, String, Vec<u8>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = tokio::spawn(async move {
        let (socket, _) = listener.accept().await.unwrap();
        let mut connection = h2::server::handshake(socket).await.unwrap();
        let (request, mut respond) = connection.accept().await.unwrap().unwrap();
        let (path, mut body) = (request.uri().path().to_owned(), request.into_body());
        let driven = tokio::spawn(async move { while connection.accept().await.is_some() {} });
        let asked = read(&mut body).await.unwrap();
        let mut head = Response::builder().header("content-type", "application/grpc");
        let trailers = says.trailers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
        match says.message {
            Some(message) => {
                let mut stream = respond.send_response(head.body(()).unwrap(), false).unwrap();
                stream.send_data(Bytes::from_static(message), false).unwrap();
                stream.send_trailers(trailers.collect()).unwrap();
            }
            None => {
                head.headers_mut().unwrap().extend(trailers.collect::<HeaderMap>());
                respond.send_response(head.body(()).unwrap(), true).unwrap();
            }
        }
        driven.await.unwrap();
        (path, asked)
    });
    let mut socket = TcpStream::connect(address).await.unwrap();
    let finding =
        tokio::time::timeout(Duration::from_secs(20), ask(&mut socket, service, "http://backend", "1.2.3")).await.unwrap();
    drop(socket);
    let (path, asked) = serving.await.unwrap();
    (finding, path, asked)
}

async fn found(message: Option<&'static [u8]>, trailers: &[(&'static str, &'static str)]) -> Finding {
    finds("", Says { message, trailers: trailers.to_vec() }).await.0
}

fn failed(cause: Cause, reason: &str) -> Finding {
    Err(Failure::new(cause, reason))
}

#[tokio::test]
async fn a_service_is_asked_for_by_its_name() {
    let says = Says { message: Some(&[0, 0, 0, 0, 2, 8, 1]), trailers: vec![("grpc-status", "0")] };
    let (finding, path, asked) = finds("shop.Orders", says).await;
    assert_eq!(finding, Ok(Pass::plain("serving")));
    assert_eq!(path, "/grpc.health.v1.Health/Check");
    assert_eq!(asked, b"\0\0\0\0\x0d\x0a\x0bshop.Orders");
}

#[tokio::test]
async fn only_serving_passes() {
    let ok = [("grpc-status", "0")];
    assert_eq!(found(Some(&[0, 0, 0, 0, 2, 8, 2]), &ok).await, failed(Cause::Grpc, "not serving"));
    assert_eq!(found(Some(&[0, 0, 0, 0, 0]), &ok).await, failed(Cause::Grpc, "serving status unknown"));
    assert_eq!(
        found(Some(&[0, 0, 0, 0, 5, 0x12, 1, 7, 8, 1]), &ok).await,
        Ok(Pass::plain("serving")),
        "with a field of a later version"
    );
    assert_eq!(found(Some(&[0, 0, 0, 0, 9, 8, 1]), &ok).await, failed(Cause::Protocol, "the answer is no HealthCheckResponse"));
    let unknown = [("grpc-status", "5"), ("grpc-message", "unknown service")];
    assert_eq!(found(None, &unknown).await, failed(Cause::Grpc, "the service is not known there"));
    assert_eq!(found(None, &[("grpc-status", "12")]).await, failed(Cause::Grpc, "the gRPC health service is not there"));
    let busy = [("grpc-status", "14"), ("grpc-message", "going away")];
    assert_eq!(found(None, &busy).await, failed(Cause::Grpc, "grpc-status 14: going away"));
    assert_eq!(found(None, &[]).await, failed(Cause::Protocol, "the answer is not gRPC: it has no grpc-status"));
}

#[tokio::test]
async fn what_speaks_no_http_2_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut socket = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (mut other, _) = listener.accept().await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut other, b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n").await.unwrap();
    let finding = ask(&mut socket, "", "http://backend", "1.2.3").await;
    assert!(finding.as_ref().is_err_and(|failure| failure.reason.starts_with("HTTP/2: ")), "{finding:?}");
}
