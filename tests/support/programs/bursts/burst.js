// Keeps calls in flight on one channel:  node burst.js host:port IN_FLIGHT ROUNDS
// Prints how often each outcome was seen, as JSON.

import { credentials, loadPackageDefinition, status } from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";

const [target, inFlight, rounds] = process.argv.slice(2);
const loaded = loadSync("digits/v1/prediction.proto", { includeDirs: [process.env.DIGITS_PROTO], keepCase: true });
const { PredictionService } = loadPackageDefinition(loaded).digits.v1;
const client = new PredictionService(target, credentials.createInsecure());
const request = { images: Buffer.alloc(784) };

function predict() {
  return new Promise((resolve) => {
    client.Predict(request, { deadline: Date.now() + 60_000 }, (error) => {
      resolve(error ? `${status[error.code]}: ${error.details}` : "OK");
    });
  });
}

const outcomes = {};
async function caller() {
  for (let round = 0; round < Number(rounds); round += 1) {
    const outcome = await predict();
    outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
  }
}
await Promise.all(Array.from({ length: Number(inFlight) }, caller));
console.log(JSON.stringify(outcomes));
client.close();
