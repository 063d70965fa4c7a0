// Shows the OpenAPI document that lies beside the page, whatever path both are served under.

SwaggerUIBundle({
  url: new URL("../openapi.json", import.meta.url).pathname,
  dom_id: "#documentation",
  deepLinking: true,
  presets: [SwaggerUIBundle.presets.apis],
  layout: "BaseLayout",
});
