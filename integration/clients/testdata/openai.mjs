// The client of OpenAI as an app that can only wait for an answer. It says on its standard output
// what it gets. The sidecar is at OPENAI_BASE_URL.
import OpenAI from "openai";

const client = new OpenAI({
  apiKey: process.env.OPENAI_API_KEY || "sk-example",
  baseURL: process.env.OPENAI_BASE_URL || "http://localhost:9000/v1",
  maxRetries: 0,
});

const [background, atOnce] = await Promise.all([
  client.responses.create({ model: "gpt-example", input: "a book", background: true }),
  client.responses.create({ model: "gpt-example", input: "a pen" }),
]);
console.log(`background: ${background.status}, ${background.output_text}`);
console.log(`at once: ${atOnce.status}, ${atOnce.output_text}`);
const again = await client.responses.retrieve(background.id);
console.log(`retrieved: ${again.status}, ${again.output_text}`);
try {
  await client.responses.create({ model: "gpt-fails", input: "a book", background: true });
  console.log("failing: no error");
} catch (error) {
  console.log(`failing: ${error.constructor.name}, ${error.status}`);
}
