//! Files of runs and logged models.

use serde_json::json;

use super::{Example, OPEN, SIGNED};

pub fn examples() -> Vec<Example> {
    [lists(), proxy(), parts()].concat()
}

fn lists() -> Vec<Example> {
    let get = |path, fields| Example::new("GET", path, fields).note(OPEN);
    let file = json!({ "model_id": "$logged$", "artifact_file_path": "dir/f.txt" });
    let directory = json!({ "model_id": "$logged$", "artifact_directory_path": "dir" });
    let presigned = json!({ "run_id": "$run$", "path": "dir/f.txt" });
    vec![
        get("/api/2.0/mlflow/artifacts/list", json!({ "run_id": "$run$", "path": "dir" })),
        get("/api/2.0/mlflow/logged-models/{model_id}/artifacts/directories", directory),
        get("/api/2.0/mlflow/logged-models/{model_id}/artifacts/files", file),
        get("/get-artifact", json!({ "run_id": "$run_of_file$", "path": "dir/f.txt" })),
        Example::new(
            "POST",
            "/api/2.0/mlflow/upload-artifact",
            json!({ "run_id": "$run$", "path": "dir/g.txt" }),
        )
        .bytes("text"),
        // Always refused: there is no object store that a client could reach.
        Example::new("POST", "/api/2.0/mlflow/artifacts/presigned-upload-url", presigned.clone()),
        Example::new("POST", "/api/2.0/mlflow/artifacts/presigned-download-url", presigned),
    ]
}

fn proxy() -> Vec<Example> {
    const FILE: &str = "/api/2.0/mlflow-artifacts/artifacts/{*path}";
    let file = json!({ "path": "$run_file$" });
    vec![
        Example::new("PUT", FILE, json!({ "path": "$run_root$/new.txt" })).bytes("text"),
        Example::new("GET", FILE, file.clone()).note(OPEN),
        Example::new("HEAD", FILE, file.clone()).note(OPEN),
        Example::new("DELETE", FILE, file.clone()),
        Example::new("GET", "/api/2.0/mlflow-artifacts/artifacts", json!({ "path": "$run_root$" }))
            .note(OPEN),
        Example::new("GET", "/api/2.0/mlflow-artifacts/presigned/{*path}", file).note(OPEN),
        Example::new(
            "GET",
            "/api/2.0/mlflow-artifacts/signed/{*path}",
            json!({ "path": "$run_file$", "?": "$signed_run_file$" }),
        )
        .note(SIGNED),
    ]
}

fn parts() -> Vec<Example> {
    let begin = json!({ "root": "$run_root$", "path": "/home/ada/other.bin", "num_parts": 2 });
    let end = json!({
        "root": "$run_root$", "path": "/home/ada/big.bin", "upload_id": "$mpu$",
        "parts": [{ "part_number": 1, "etag": "" }, { "part_number": 2, "etag": "" }],
    });
    let give_up = json!({ "root": "$run_root$", "path": "/home/ada/big.bin", "upload_id": "$mpu$" });
    vec![
        Example::new("POST", "/api/2.0/mlflow-artifacts/mpu/create/{*root}", begin),
        Example::new("POST", "/api/2.0/mlflow-artifacts/mpu/complete/{*root}", end),
        Example::new("POST", "/api/2.0/mlflow-artifacts/mpu/abort/{*root}", give_up),
        Example::new(
            "PUT",
            "/api/2.0/mlflow-artifacts/mpu/part/{upload}/{part}/{*path}",
            json!({ "upload": "$mpu$", "part": 2, "path": "$run_root$/big.bin", "?": "$mpu_part$" }),
        )
        .bytes("text")
        .note(SIGNED),
    ]
}
