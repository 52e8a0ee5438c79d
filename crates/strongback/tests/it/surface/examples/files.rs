//! The Files API, and files of versions for MLflow's pages.

use serde_json::json;

use super::{Example, SIGNED};

pub fn examples() -> Vec<Example> {
    [single(), parts(), directories()].concat()
}

fn single() -> Vec<Example> {
    const FILE: &str = "/api/2.0/fs/files/{*path}";
    const SIGNED_FILE: &str = "/api/2.0/fs/signed/files/{*path}";
    let file = json!({ "path": "$gov_dir$/dir/f.txt" });
    let new = json!({ "path": "$gov2_dir$/new.txt" });
    vec![
        Example::new("PUT", FILE, json!({ "path": "$gov2_dir$/new.txt", "overwrite": true })).bytes("text"),
        Example::new("GET", FILE, file.clone()),
        Example::new("HEAD", FILE, file.clone()),
        Example::new("DELETE", FILE, json!({ "path": "$gov2_dir$/dir/f.txt" })),
        Example::new("POST", "/api/2.0/fs/create-download-url", file),
        Example::new("POST", "/api/2.0/fs/create-upload-url", new),
        Example::new("GET", SIGNED_FILE, json!({ "path": "$gov_dir$/dir/f.txt", "?": "$signed_get$" }))
            .note(SIGNED),
        Example::new("PUT", SIGNED_FILE, json!({ "path": "$gov2_dir$/new.txt", "?": "$signed_put$" }))
            .bytes("text")
            .note(SIGNED),
        Example::new(
            "GET",
            "/model-versions/get-artifact",
            json!({ "name": "$gov$", "version": "1", "path": "dir/f.txt" }),
        ),
    ]
}

fn parts() -> Vec<Example> {
    const FILE: &str = "/api/2.0/fs/files/{*path}";
    let end = json!({
        "path": "$gov2_dir$/big.bin", "action": "complete-upload", "session_token": "$session$",
        "parts": [{ "part_number": 1, "etag": "" }],
    });
    let upload = json!({ "path": "$gov2_dir$/big.bin", "session_token": "$session$" });
    let part_urls = json!({
        "path": "$gov2_dir$/big.bin", "session_token": "$session$", "start_part_number": 1, "count": 2,
    });
    vec![
        Example::new("POST", FILE, json!({ "path": "$gov2_dir$/big.bin", "action": "initiate-upload" })),
        Example::new("POST", FILE, end),
        Example::new("POST", "/api/2.0/fs/create-upload-part-urls", part_urls),
        Example::new("POST", "/api/2.0/fs/create-abort-upload-url", upload),
        Example::new(
            "PUT",
            "/api/2.0/fs/signed/parts/{upload}/{part}/{*path}",
            json!({ "upload": "$session$", "part": 2, "path": "$gov2_dir$/big.bin", "?": "$signed_part$" }),
        )
        .bytes("text")
        .note(SIGNED),
        Example::new(
            "DELETE",
            "/api/2.0/fs/signed/uploads/{upload}/{*path}",
            json!({ "upload": "$session$", "path": "$gov2_dir$/big.bin", "?": "$signed_abort$" }),
        )
        .note(SIGNED),
    ]
}

fn directories() -> Vec<Example> {
    const PATH: &str = "/api/2.0/fs/directories/{*path}";
    vec![
        Example::new("GET", PATH, json!({ "path": "$gov_dir$", "page_size": 5 })),
        Example::new("HEAD", PATH, json!({ "path": "$gov_dir$" })),
        Example::new("PUT", PATH, json!({ "path": "$gov2_dir$/empty" })),
        Example::new("DELETE", PATH, json!({ "path": "$gov2_dir$/empty" })),
    ]
}
