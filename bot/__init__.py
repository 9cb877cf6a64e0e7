"""The service: talks to the world. The only room that is asynchronous or knows a vendor."""
