use agentguard_core::{Host, Scheme};
use hyper::Request;

use super::*;
use crate::gate::request;

const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
/// The keys of AWS's examples and of its published test suite.
const KEY: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const KEY_OF_S3: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";

fn origin(host: &str) -> Origin {
    Origin {
        scheme: Scheme::Https,
        host: Host::parse(host).unwrap(),
        port: 443,
        slash: crate::gate::path::Slash::Unclear,
        caller: agentguard_core::Caller::unknown(),
    }
}

fn asked(host: &str, line: &str, headers: &[(&str, &str)]) -> Read {
    let (method, target) = line.split_once(' ').unwrap();
    let mut request = Request::builder()
        .method(method)
        .uri(target)
        .header("host", host);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let parts = request.body(()).unwrap().into_parts().0;
    request::read(&origin(host), &parts).unwrap()
}

fn signed(scope: &str, names: &str) -> Signed {
    let text = format!(
        "AWS4-HMAC-SHA256 Credential=PLACE/{scope}/aws4_request, SignedHeaders={names}, \
         Signature={}",
        "0".repeat(64)
    );
    read(&text).unwrap()
}

struct Vector {
    host: &'static str,
    scope: &'static str,
    line: &'static str,
    headers: &'static [(&'static str, &'static str)],
    body: &'static str,
    key: &'static str,
    signature: &'static str,
}

const DATE_OF_SUITE: (&str, &str) = ("x-amz-date", "20150830T123600Z");
const DATE_OF_S3: (&str, &str) = ("x-amz-date", "20130524T000000Z");

/// Of the suite, and of the pages on IAM and S3. Behind these, what follows from their rules, reckoned elsewhere.
const VECTORS: [Vector; 14] = [
    Vector {
        host: "example.amazonaws.com",
        scope: "20150830/us-east-1/service",
        line: "GET /",
        headers: &[DATE_OF_SUITE],
        body: "",
        key: KEY,
        signature: "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
    },
    Vector {
        host: "example.amazonaws.com",
        scope: "20150830/us-east-1/service",
        line: "GET /?Param2=value2&Param1=value1",
        headers: &[DATE_OF_SUITE],
        body: "",
        key: KEY,
        signature: "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
    },
    Vector {
        host: "example.amazonaws.com",
        scope: "20150830/us-east-1/service",
        line: "POST /",
        headers: &[DATE_OF_SUITE],
        body: "",
        key: KEY,
        signature: "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
    },
    Vector {
        host: "example.amazonaws.com",
        scope: "20150830/us-east-1/service",
        line: "POST /",
        headers: &[
            DATE_OF_SUITE,
            ("content-type", "application/x-www-form-urlencoded"),
        ],
        body: "Param1=value1",
        key: KEY,
        signature: "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
    },
    Vector {
        host: "iam.amazonaws.com",
        scope: "20150830/us-east-1/iam",
        line: "GET /?Action=ListUsers&Version=2010-05-08",
        headers: &[
            DATE_OF_SUITE,
            (
                "content-type",
                "application/x-www-form-urlencoded; charset=utf-8",
            ),
        ],
        body: "",
        key: KEY,
        signature: "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7",
    },
    Vector {
        host: "examplebucket.s3.amazonaws.com",
        scope: "20130524/us-east-1/s3",
        line: "GET /test.txt",
        headers: &[
            DATE_OF_S3,
            ("range", "bytes=0-9"),
            ("x-amz-content-sha256", EMPTY),
        ],
        body: "",
        key: KEY_OF_S3,
        signature: "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
    },
    Vector {
        host: "examplebucket.s3.amazonaws.com",
        scope: "20130524/us-east-1/s3",
        line: "PUT /test$file.text",
        headers: &[
            DATE_OF_S3,
            ("date", "Fri, 24 May 2013 00:00:00 GMT"),
            ("x-amz-storage-class", "REDUCED_REDUNDANCY"),
            (
                "x-amz-content-sha256",
                "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072",
            ),
        ],
        body: "",
        key: KEY_OF_S3,
        signature: "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
    },
    Vector {
        host: "examplebucket.s3.amazonaws.com",
        scope: "20130524/us-east-1/s3",
        line: "GET /?lifecycle",
        headers: &[DATE_OF_S3, ("x-amz-content-sha256", EMPTY)],
        body: "",
        key: KEY_OF_S3,
        signature: "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
    },
    Vector {
        host: "example.amazonaws.com",
        scope: "20150830/us-east-1/service",
        line: "GET /",
        headers: &[
            DATE_OF_SUITE,
            ("my-header1", " value1"),
            ("my-header2", " \"a   b   c\""),
        ],
        body: "",
        key: KEY,
        signature: "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736",
    },
    Vector {
        host: "example.amazonaws.com",
        scope: "20150830/us-east-1/service",
        line: "GET /",
        headers: &[
            DATE_OF_SUITE,
            ("my-header1", "value2"),
            ("my-header1", "value2"),
            ("my-header1", "value1"),
        ],
        body: "",
        key: KEY,
        signature: "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea",
    },
    // All but S3 escape the escapes of a path once more.
    Vector {
        host: "example.amazonaws.com",
        scope: "20150830/us-east-1/service",
        line: "GET /a%20b",
        headers: &[DATE_OF_SUITE],
        body: "",
        key: KEY,
        signature: "08c33fd523b5dc18699a2c38863929f12203a282c033d442d45b59a096458aa6",
    },
    Vector {
        host: "examplebucket.s3.amazonaws.com",
        scope: "20130524/us-east-1/s3",
        line: "GET /a%20b",
        headers: &[DATE_OF_S3, ("x-amz-content-sha256", EMPTY)],
        body: "",
        key: KEY_OF_S3,
        signature: "148958ace6e83bc7d9893e7fb92c63d466140bd5acf2a0722d6fea26964f5651",
    },
    // A query's order is that of what stands for its letters.
    Vector {
        host: "example.amazonaws.com",
        scope: "20150830/us-east-1/service",
        line: "GET /?z=1&%C3%A9=2",
        headers: &[DATE_OF_SUITE],
        body: "",
        key: KEY,
        signature: "852f3534378c08a6684c7972e9cc826963d84238909f36a79f7c4ec8b3b2f8d9",
    },
    // What is written anew cannot be signed.
    Vector {
        host: "example.amazonaws.com",
        scope: "20150830/us-east-1/service",
        line: "GET /",
        headers: &[DATE_OF_SUITE, ("authorization", "x")],
        body: "",
        key: KEY,
        signature: "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
    },
];

#[test]
fn what_is_signed_is_what_aws_says_it_is() {
    for vector in VECTORS {
        let mut read = asked(vector.host, vector.line, vector.headers);
        let names: Vec<_> = vector.headers.iter().map(|(name, _)| *name).collect();
        let signed = signed(vector.scope, &names.join(";"));
        let secret = format!("AKIDEXAMPLE:{}", vector.key);
        let payload = Some(vector.body.as_bytes());
        let origin = origin(vector.host);
        signed
            .sign(secret.as_bytes(), &origin, &mut read, payload)
            .unwrap();
        let value = read.headers["authorization"].to_str().unwrap();
        let expected = format!("Signature={}", vector.signature);
        assert!(
            value.ends_with(&expected),
            "{} {}: {value}",
            vector.host,
            vector.line
        );
        assert!(value.contains(&format!(
            "Credential=AKIDEXAMPLE/{}/aws4_request,",
            vector.scope
        )));
        assert!(read.headers["authorization"].is_sensitive());
    }
}

#[test]
fn a_token_is_sent_and_signed_and_a_clients_own_is_not() {
    let host = "s3.eu-west-1.amazonaws.com";
    let headers = [
        DATE_OF_S3,
        ("x-amz-content-sha256", "UNSIGNED-PAYLOAD"),
        (TOKEN, "PLACE"),
        // It is sent, and the client did not sign it.
        ("accept", "x"),
    ];
    let signed = signed("20130524/eu-west-1/s3", "host;x-amz-date");
    let mut with = asked(host, "GET /a", &headers);
    signed
        .sign(b"ID:KEY:TOKEN:X", &origin(host), &mut with, None)
        .unwrap();
    assert_eq!(with.headers[TOKEN], "TOKEN:X");
    assert!(with.headers[TOKEN].is_sensitive());
    let value = with.headers["authorization"].to_str().unwrap();
    assert!(
        value.contains("SignedHeaders=host;x-amz-content-sha256;x-amz-date;x-amz-security-token,")
    );
    let mut without = asked(host, "GET /a", &headers);
    signed
        .sign(b"ID:KEY", &origin(host), &mut without, None)
        .unwrap();
    assert!(!without.headers.contains_key(TOKEN));
    let mut unknown = asked(host, "GET /a", &[DATE_OF_S3]);
    assert!(
        signed
            .sign(b"ID:KEY", &origin(host), &mut unknown, None)
            .is_err()
    );
    assert!(
        signed
            .sign(b"IDKEY", &origin(host), &mut unknown, Some(b""))
            .is_err()
    );
}

#[test]
fn a_signature_for_another_region_or_service_is_not_made() {
    for (scope, host, is_fine) in [
        (
            "eu-west-1/dynamodb",
            "dynamodb.eu-west-1.amazonaws.com",
            true,
        ),
        (
            "eu-west-1/dynamodb",
            "dynamodb.eu-west-2.amazonaws.com",
            false,
        ),
        ("eu-west-1/iam", "dynamodb.eu-west-1.amazonaws.com", false),
        ("us-east-1/sts", "sts.amazonaws.com", true),
        ("us-east-1/iam", "sts.amazonaws.com", false),
        ("eu-west-1/iam", "iam.amazonaws.com", false),
        ("eu-west-1/s3", "bucket.s3.eu-west-1.amazonaws.com", true),
        (
            "eu-west-1/s3",
            "bucket.s3.dualstack.eu-west-1.amazonaws.com",
            true,
        ),
        ("eu-west-1/s3", "bucket.s3.amazonaws.com", true),
        // A bucket may have any name.
        ("us-east-1/iam", "iam.s3.amazonaws.com", false),
        (
            "eu-west-2/s3",
            "eu-west-2.s3.eu-west-1.amazonaws.com",
            false,
        ),
        (
            "eu-west-1/bedrock",
            "bedrock-runtime.eu-west-1.amazonaws.com",
            true,
        ),
        (
            "us-gov-west-1/ses",
            "email.us-gov-west-1.amazonaws.com",
            true,
        ),
        ("us-east-1/es", "search-x.us-east-1.es.amazonaws.com", true),
        ("us-east-1/st", "sts.us-east-1.amazonaws.com", false),
        ("us-east-1/s3", "minio.test", true),
        ("us-east-1/iam", "minio.test", false),
        ("us-east-1/iam", "iam.amazonaws.com.evil.test", false),
    ] {
        let signed = signed(&format!("20150830/{scope}"), "host");
        let read = asked(host, "GET /", &[DATE_OF_SUITE]);
        assert_eq!(
            signed.check(&origin(host), &read).is_ok(),
            is_fine,
            "{scope} {host}"
        );
    }
}

#[test]
fn what_cannot_be_signed_anew_is_not() {
    let host = "s3.us-east-1.amazonaws.com";
    let signed = signed("20150830/us-east-1/s3", "host");
    let letters = "g".repeat(64);
    let bad: [&[(&str, &str)]; 12] = [
        &[],
        &[("x-amz-date", "20150831T123600Z")],
        &[("x-amz-date", "20150830")],
        &[DATE_OF_SUITE, DATE_OF_SUITE],
        &[DATE_OF_SUITE, (HASH, "STREAMING-AWS4-HMAC-SHA256-PAYLOAD")],
        &[("x-amz-date", "20150830 123600Z")],
        &[("x-amz-date", "20150830T12Z")],
        &[("x-amz-date", "20150830T1236000")],
        &[DATE_OF_SUITE, (HASH, "x")],
        &[DATE_OF_SUITE, (HASH, "abc")],
        &[DATE_OF_SUITE, (HASH, &letters)],
        &[DATE_OF_SUITE, (HASH, EMPTY), (HASH, EMPTY)],
    ];
    for headers in bad {
        let read = asked(host, "GET /", headers);
        assert!(signed.check(&origin(host), &read).is_err(), "{headers:?}");
    }
    let read = asked(host, "GET /?a=b+c", &[DATE_OF_SUITE]);
    assert!(signed.check(&origin(host), &read).is_err());
    for hash in [EMPTY, UNSIGNED[0]] {
        let read = asked(host, "GET /?a=b", &[DATE_OF_SUITE, (HASH, hash)]);
        assert_eq!(signed.check(&origin(host), &read), Ok(()), "{hash}");
    }
    let zeroes = "0".repeat(64);
    let good = format!(
        "AWS4-HMAC-SHA256 Credential=P/20150830/r/s/aws4_request, SignedHeaders=host, Signature={zeroes}"
    );
    assert!(super::read(&good).is_some());
    for (from, to) in [
        ("/r/", "/r r/"),
        ("/r/", "//"),
        ("/s/", "/s;/"),
        ("/s/", "//"),
        ("20150830", "2015083x"),
        ("=00", "=0"),
        ("=00", "=000"),
        ("=00", "=0g"),
    ] {
        let text = good.replacen(from, to, 1);
        assert_eq!(super::read(&text), None, "{text}");
    }
    for text in [
        "AWS4-ECDSA-P256-SHA256 Credential=P/20150830/r/s/aws4_request, SignedHeaders=host, Signature=S",
        "AWS4-HMAC-SHA256 Credential=P/20150830/r/s/aws4_request, SignedHeaders=host",
        "AWS4-HMAC-SHA256 Credential=P/20150830/r/s/aws4_request, SignedHeaders=host, Signature=S, x=y",
        "AWS4-HMAC-SHA256 Credential=P/20150830/r/s/other, SignedHeaders=host, Signature=S",
        "AWS4-HMAC-SHA256 Credential=P/2015/r/s/aws4_request, SignedHeaders=host, Signature=S",
        "AWS4-HMAC-SHA256 Credential=20150830/r/s/aws4_request, SignedHeaders=host, Signature=S",
        "AWS4-HMAC-SHA256 SignedHeaders=host, Credential=P/20150830/r/s/aws4_request, Signature=S",
    ] {
        assert_eq!(
            super::read(&text.replace("=S", &format!("={zeroes}"))),
            None,
            "{text}"
        );
    }
}

#[test]
fn over_http_2_the_host_is_signed_as_well() {
    let host = "example.amazonaws.com";
    let request = Request::builder()
        .version(hyper::Version::HTTP_2)
        .uri(format!("https://{host}/"))
        .header(DATE_OF_SUITE.0, DATE_OF_SUITE.1);
    let parts = request.body(()).unwrap().into_parts().0;
    let mut read = request::read(&origin(host), &parts).unwrap();
    signed("20150830/us-east-1/service", "host;x-amz-date")
        .sign(
            format!("ID:{KEY}").as_bytes(),
            &origin(host),
            &mut read,
            Some(b""),
        )
        .unwrap();
    let value = read.headers["authorization"].to_str().unwrap();
    assert!(value.ends_with(VECTORS[0].signature), "{value}");
}

#[test]
fn a_region_is_words_and_a_number() {
    for region in ["us-east-1", "us-gov-west-1", "ap-southeast-12"] {
        assert!(is_region(region), "{region}");
    }
    for other in [
        "s3",
        "east-1",
        "us-1",
        "us-east-a",
        "us-e-1",
        "u-east-1",
        "u5-east-1",
        "us-east-1x",
        "",
    ] {
        assert!(!is_region(other), "{other}");
    }
}
