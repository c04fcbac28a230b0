// The digit in each image file:  node predict.js host:port FILE…

import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { credentials, loadPackageDefinition, status } from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";

const PROTO = process.env.DIGITS_PROTO ?? join(dirname(fileURLToPath(import.meta.url)), "../../../proto");
const DEADLINE_MS = 5_000;
// gRPC tries again by itself, within the deadline, when nobody answers or the server is about to stop.
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

const [target, ...files] = process.argv.slice(2);
if (files.length === 0) {
  console.error("usage: node predict.js host:port FILE…");
  process.exit(2);
}
const loaded = loadSync("digits/v1/prediction.proto", { includeDirs: [PROTO], keepCase: true, longs: Number });
const { PredictionService } = loadPackageDefinition(loaded).digits.v1;
const client = new PredictionService(target, credentials.createInsecure(), {
  "grpc.service_config": JSON.stringify(RETRIES),
});

const request = { image_files: files.map((file) => readFileSync(file)) };
client.Predict(request, { deadline: Date.now() + DEADLINE_MS }, (error, reply) => {
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
