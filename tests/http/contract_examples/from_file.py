import requests
api_key = "YOUR_API_KEY"
api_secret = "YOUR_API_SECRET"
image_path = '/path/to/your/image.jpg'
response = requests.post(
    "https://demo.computervision.com.vn/api/v2/ocr/document/credit_report?format_type=file&get_thumb=false",
    auth=(api_key, api_secret),
    files={'img': open(image_path, 'rb')})
print(response.json())
