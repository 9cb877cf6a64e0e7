// Lets WeChat ask whether notices may come, and says in words what came of it. Tells us nothing: WeChat does.
const box = document.getElementById("agree");
const tag = document.getElementById("ask");

function show(state) {
  for (const part of box.querySelectorAll("[data-when]")) part.hidden = part.dataset.when !== state;
  tag.hidden = state === "failed";
}

function answered(event) {
  // What each template came to is told as JSON in a text: {"TEMPLATE": "{\"status\":\"accept\"}"}.
  show(JSON.stringify(event.detail || {}).includes("accept") ? "yes" : "no");
}

if (window.wx) {
  const { appId, timestamp, nonce, signature } = box.dataset;
  document.addEventListener("WeixinOpenTagsError", () => show("failed"));
  tag.addEventListener("success", answered);
  tag.addEventListener("error", () => show("failed"));
  window.wx.error(() => show("failed"));
  window.wx.config({
    debug: false,
    appId,
    timestamp: Number(timestamp),
    nonceStr: nonce,
    signature,
    jsApiList: ["checkJsApi"],
    openTagList: ["wx-open-subscribe"],
  });
} else {
  show("failed");
}
