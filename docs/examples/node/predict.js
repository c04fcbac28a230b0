// The digit in each image file:  node predict.js host:port FILE…

import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { credentials, loadPackageDefinition, Metadata, status } from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";

const PROTO = process.env.DIGITS_PROTO ?? join(dirname(fileURLToPath(import.meta.url)), "../../../proto");
const DEADLINE_MS = 5_000;
// gRPC tries again by itself, within the deadline, when no server answers or the server is about to stop.
const RETRIES = {
  methodConfig: [
    {
      name: [{ service: "digits.v1.PredictionService" }],
      retryPolicy: {
        maxAttempts: 4,
        initialBackoff: "0.1s",
        maxBackoff: "2s",
        backoffMultiplier: 2,
        retryableStatusCodes: ["UNAVAILABLE"],
      },
    },
  ],
};

function fail(sentence, code = 1) {
  console.error(sentence);
  process.exit(code);
}

function content(file) {
  try {
    return readFileSync(file);
  } catch (error) {
    return fail(`cannot read ${file}: ${error.message.split(", ")[0]}`);
  }
}

/** Plaintext, or TLS as the environment says; see the README beside this folder. */
function channelCredentials(env) {
  const [roots, key, chain] = ["ROOT_CERTIFICATES", "PRIVATE_KEY", "CERTIFICATE_CHAIN"].map((name) => {
    const file = env[`DIGITS_${name}`];
    return file ? content(file) : null;
  });
  if (!(env.DIGITS_TLS || roots || key || chain)) {
    return env.DIGITS_TOKEN_FILE ? fail("a token is sent over TLS only: set DIGITS_ROOT_CERTIFICATES") : credentials.createInsecure();
  }
  try {
    return credentials.createSsl(roots, key, chain);
  } catch (error) {
    return fail(`cannot use TLS: ${error.message}`);
  }
}

const [target, ...files] = process.argv.slice(2);
if (files.length === 0) {
  fail("usage: node predict.js host:port FILE…", 2);
}
const loaded = loadSync("digits/v1/prediction.proto", { includeDirs: [PROTO], keepCase: true, longs: Number });
const { PredictionService } = loadPackageDefinition(loaded).digits.v1;
const client = new PredictionService(target, channelCredentials(process.env), {
  "grpc.service_config": JSON.stringify(RETRIES),
});
const metadata = new Metadata();
if (process.env.DIGITS_TOKEN_FILE) {
  metadata.set("authorization", `Bearer ${content(process.env.DIGITS_TOKEN_FILE).toString().trim()}`);
}

const request = { image_files: files.map(content) };
client.Predict(request, metadata, { deadline: Date.now() + DEADLINE_MS }, (error, reply) => {
  if (error) {
    console.error(`${status[error.code]}: ${error.details}`);
    process.exitCode = 1;
  } else {
    reply.digits.forEach((digit, place) => {
      console.log(`${files[place]}  ${digit}  ${reply.confidences[place].toFixed(4)}`);
    });
    console.log(`model version ${reply.model_version}`);
  }
  client.close();
});
