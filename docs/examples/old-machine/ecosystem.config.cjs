// What the generator of the old system writes for two cards, without what is the same everywhere.
const env = {
  NODE_ENV: 'production',
  MACHINE_ID: 'gpu-box-3f9a2b1c',
  WORKERS: 'comfyui:2,openai:4',
  HUB_REDIS_URL: 'rediss://default:put-the-password-here@redis.example.com:6379/0',
  OPENAI_API_KEY: 'put-your-openai-key-here',
};
const app = (name, args, more) => ({ name, script: 'standalone-wrapper.js', args, max_memory_restart: '1G', env: { ...env, ...more } });

module.exports = {
  apps: [
    { name: 'health-server', script: 'health-server.js', env },
    ...[0, 1].map(i => app(`comfyui-gpu${i}`, ['comfyui', `--cuda-device=${i}`, `--port=${8188 + i}`])),
    ...[0, 1].map(i => app(`redis-worker-comfyui-gpu${i}`, ['redis-worker', `--cuda-device=${i}`], { CONNECTORS: 'comfyui' })),
    ...[0, 1, 2, 3].map(i => app(`redis-worker-openai-${i}`, ['redis-worker', `--index=${i}`], { CONNECTORS: 'openai' })),
  ],
};
