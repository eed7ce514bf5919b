// One line and an end with 1 where CUDA cannot run, since every test of it would fail for the same reason.
import { backendInfo } from "kullback";

const { attempts = [] } = backendInfo().backends.find(({ name }) => name === "cuda") ?? {};
if (backendInfo().cuda === null) {
  console.error(`kullback: CUDA cannot run here: ${attempts.map(({ reason }) => reason).join("; ")}`);
  process.exit(1);
}
